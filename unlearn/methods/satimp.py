"""SatImp: ascent weighted by saturation and importance (Yang et al. 2025, arXiv:2505.11953).

L = -E_{answer tokens of D_f}[ w_t (-log p_t) ]  +  retain term,  w_t = p_t^beta1 (1 - p_t)^beta2

with p_t = pi(y_t | y_<t, x); w has no gradient. Same as the paper: tokens that are unlearned already (p small), and
those that any context gives away (p near 1), count little. The weights of the terms are 1 and 0.1.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from unlearn.methods.base import Term, Views, register
from unlearn.methods.forget_retain import ForgetRetain


def satimp_loss(ce_tokens: Tensor, beta1: float, beta2: float) -> Tensor:
    """Return [N] minus the token cross-entropies [N], each times p^beta1 (1 - p)^beta2 of its token's probability p."""
    p = (-ce_tokens.detach()).exp()
    return -(p**beta1) * (1 - p) ** beta2 * ce_tokens


@register
@dataclass
class SatImp(ForgetRetain):
    """Ascent on those forget tokens that the model knows, but not for certain.

    beta1, beta2  exponents of saturation, p, and of importance, 1 - p
    """

    paper: ClassVar[str] = "arXiv:2505.11953"
    name: str = "satimp"
    retain_weight: float = 0.1
    beta1: float = 5.0
    beta2: float = 1.0

    def problems(self) -> list[str]:
        """Refuse negative exponents."""
        return super().problems() + self.below_zero("beta1", "beta2")

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the token cross-entropy of forget answers, and for the retain term's quantity."""
        return {"forget": ("ce_tokens",), **self.retain_needs()}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the weighted ascent, then the retain term."""
        losses = satimp_loss(views["forget"].ce_tokens, self.beta1, self.beta2)
        yield Term("forget", losses, per="token", weight=self.forget_weight)
        yield from self.retain_terms(views)

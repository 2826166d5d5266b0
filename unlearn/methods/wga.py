"""WGA: weighted gradient ascent (Wang et al. 2025, arXiv:2502.19301).

L = -E_{answer tokens of D_f}[ w_t (-log pi(y_t | y_<t, x)) ]  +  retain term,  w_t = pi(y_t | y_<t, x)^beta

w has no gradient. Same as the paper, which writes alpha for beta: the weight cancels the factor 1 / pi of the gradient
of ascent, which grows without bound where an answer is unlikely already.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from unlearn.methods.base import Term, Views, register
from unlearn.methods.forget_retain import ForgetRetain


def wga_loss(ce_tokens: Tensor, beta: float) -> Tensor:
    """Return [N] minus the token cross-entropies [N], each times its token's probability to the power `beta`."""
    return -(-beta * ce_tokens.detach()).exp() * ce_tokens


@register
@dataclass
class WGA(ForgetRetain):
    """Ascent on the forget answers that lets go of a token as it becomes unlikely."""

    paper: ClassVar[str] = "arXiv:2502.19301"
    name: str = "wga"
    beta: float = 1.0

    def problems(self) -> list[str]:
        """Refuse an exponent that is not positive."""
        return super().problems() + self.not_positive("beta", advice="0 would be grad_ascent")

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the token cross-entropy of forget answers, and for the retain term's quantity."""
        return {"forget": ("ce_tokens",), **self.retain_needs()}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the weighted ascent, then the retain term."""
        yield Term("forget", wga_loss(views["forget"].ce_tokens, self.beta), "token", self.forget_weight)
        yield from self.retain_terms(views)

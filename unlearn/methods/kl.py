"""KL minimisation (TOFU, Maini et al. 2024, arXiv:2401.06121; CLEAR, arXiv:2410.18057).

L = -forget_weight * CE(D_f) + retain_weight * E_{answer tokens of D_r}[ KL(pi_ref(. | y_<t, x) || pi(. | y_<t, x)) ]

Differs from the paper: TOFU takes the KL divergence at every token of question and answer, here it is at the answer
positions. `kl_direction: reverse` gives KL(pi || pi_ref), as the CLEAR paper writes it (preset kl_clear).
Unbounded below, as gradient ascent is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from unlearn.methods.base import KL_QUANTITY, KLDirection, Term, Views, Weighted, register


@register
@dataclass
class KL(Weighted):
    """Raise the cross-entropy of the forget answers while the retained distributions stay near the reference."""

    paper: ClassVar[str] = "arXiv:2401.06121"
    name: str = "kl"
    kl_direction: KLDirection = KLDirection.forward

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the token cross-entropy of the forget view and the KL divergence of the retain view."""
        return {"forget": ("ce_tokens",), "retain": (KL_QUANTITY[self.kl_direction],)}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield minus the forget cross-entropy, then the KL divergence."""
        yield Term("forget", -views["forget"].ce_tokens, per="token", weight=self.forget_weight)
        yield Term("retain", getattr(views["retain"], KL_QUANTITY[self.kl_direction]), "token", self.retain_weight)

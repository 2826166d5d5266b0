"""Gradient difference (Liu et al. 2022, arXiv:2203.12817; TOFU, Maini et al. 2024, arXiv:2401.06121).

L = retain_weight * CE(D_r) - forget_weight * CE(D_f),  CE = mean over answer tokens of -log pi(y_t | y_<t, x)

Same as the papers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from unlearn.methods.base import ForgetRetain, Term, Views, register


@register
@dataclass
class GradDiffCeCe(ForgetRetain):
    """Raise the cross-entropy of the forget answers while training on the retain answers."""

    paper: ClassVar[str] = "arXiv:2203.12817"
    name: str = "grad_diff_forget_ce_retain_ce"

    def problems(self) -> list[str]:
        """Refuse another retain term: the name says which one it is."""
        fixed = RETAIN_TERM_IS_FIXED.format(self.retain_term.value) if self.retain_term.value != "ce" else ""
        return [*super().problems(), *filter(None, [fixed])]

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the token cross-entropy on both views."""
        return {"forget": ("ce_tokens",), **self.retain_needs()}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield minus the weighted forget cross-entropy, then the retain cross-entropy."""
        yield Term("forget", -views["forget"].ce_tokens, per="token", weight=self.forget_weight)
        yield from self.retain_terms(views)


RETAIN_TERM_IS_FIXED = (
    "forget_loss.retain_term is {}; allowed is ce, since forget_loss=grad_diff_forget_ce_retain_ce names it; leave it."
)

"""Finetuning on the retained data alone (the "Retain FT" baseline of CLEAR, arXiv:2410.18057).

L = E_{answer tokens of D_r}[ -log pi(y_t | y_<t, x) ]

Same as the paper. An epoch has as many steps as a pass over D_f, so that it costs what the other methods cost.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from unlearn.methods.base import Method, Term, Views, register


@register
@dataclass
class RetainFT(Method):
    """Hope that what is not repeated is forgotten."""

    paper: ClassVar[str] = "arXiv:2410.18057"
    name: str = "retain_ft"

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the token cross-entropy on the retain view."""
        return {"retain": ("ce_tokens",)}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the cross-entropy of the retain answers."""
        yield Term("retain", views["retain"].ce_tokens, per="token")

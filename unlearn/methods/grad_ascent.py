"""Gradient ascent (Jang et al. 2023, arXiv:2210.01504; TOFU, Maini et al. 2024, arXiv:2401.06121).

L = -E_{answer tokens of D_f}[ -log pi(y_t | y_<t, x) ]

Same as the papers. Unbounded below: the model is destroyed if it runs long enough.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from unlearn.methods.base import Method, Term, Views, register


@register
@dataclass
class GradAscent(Method):
    """Raise the cross-entropy of the forget answers; nothing holds the rest in place."""

    paper: ClassVar[str] = "arXiv:2210.01504"
    name: str = "grad_ascent"

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the token cross-entropy on the forget view."""
        return {"forget": ("ce_tokens",)}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield minus the cross-entropy of the forget answers."""
        yield Term("forget", -views["forget"].ce_tokens, per="token")

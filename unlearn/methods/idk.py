"""IDK: answer "I don't know" (the preference optimisation of TOFU, Maini et al. 2024, arXiv:2401.06121).

L = forget_weight * CE(questions of D_f -> refusals) + retain term

Same as the paper. A question's refusal is drawn anew every epoch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from unlearn.data.answers import Answers
from unlearn.methods.base import Term, Views, register
from unlearn.methods.forget_retain import ForgetRetain


@register
@dataclass
class IDK(ForgetRetain):
    """Train on refusals where the forget answers stood."""

    paper: ClassVar[str] = "arXiv:2401.06121"
    name: str = "idk"

    def answers(self) -> Mapping[str, Answers]:
        """Return the view of the forget questions with refusals."""
        return {"idk": Answers(of="forget", source="refusals")}

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the token cross-entropy of the refusals, and for the retain term's quantity."""
        return {"idk": ("ce_tokens",), **self.retain_needs()}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the cross-entropy of the refusals, then the retain term."""
        yield Term("idk", views["idk"].ce_tokens, per="token", weight=self.forget_weight)
        yield from self.retain_terms(views)

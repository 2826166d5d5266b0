"""SalUn: random labels on the weights that are salient for the forget set (Fan et al. 2024, arXiv:2310.12508, eq. 5).

L = forget_weight * CE(questions of D_f -> answers of retained samples) + retain_weight * CE(D_r)

on the `saliency` share of the weights that have the largest gradients of CE(D_f) at the start; the others are held
(unlearn/masks.py). Any other method works on salient weights too, with its key forget_loss.saliency.
Differs from the paper: a label is a whole answer, drawn anew every epoch among those of retained samples.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from unlearn.data.answers import Answers
from unlearn.methods.base import Term, Views, Weighted, register


@register
@dataclass
class SalUn(Weighted):
    """Train the forget questions on answers that are not theirs, and the retained data on their own."""

    paper: ClassVar[str] = "arXiv:2310.12508"
    name: str = "salun"
    saliency: float | None = 0.5

    def problems(self) -> list[str]:
        """Refuse to be without its mask."""
        wrong = "forget_loss.saliency is null, but without a mask it is not SalUn; set a share, the paper takes 0.5."
        return super().problems() + [wrong] * (self.saliency is None)

    def answers(self) -> Mapping[str, Answers]:
        """Return the view of the forget questions with answers of retained samples."""
        return {"random": Answers(of="forget", source="retain")}

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the token cross-entropy of both views."""
        return {"random": ("ce_tokens",), "retain": ("ce_tokens",)}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the cross-entropies of the random and of the retained answers."""
        yield Term("random", views["random"].ce_tokens, per="token", weight=self.forget_weight)
        yield Term("retain", views["retain"].ce_tokens, per="token", weight=self.retain_weight)

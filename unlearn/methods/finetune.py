"""Supervised finetuning: how base and gold are made. Not an unlearning method, so it is not registered.

L = E_{answer tokens}[ -log pi(y_t | y_<t, x) ]
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from unlearn.methods.base import Method, Phase, Term, Views


@dataclass
class Finetune(Method):
    """Cross-entropy of the answers, end token included.

    samples  length of a pass; None: the whole set
    """

    name: str = "finetune"
    samples: int | None = None

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the token cross-entropy on the only view."""
        return {"train": ("ce_tokens",)}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the cross-entropy."""
        yield Term("train", views["train"].ce_tokens, per="token")

    def phases(self, epoch: int, sizes: Mapping[str, int]) -> Sequence[Phase]:
        """Return one pass over the only set."""
        del epoch, sizes
        return [Phase("", "train", self.needs(), self.terms, self.samples)]

"""LLMU: large language model unlearning (Yao et al. 2023, arXiv:2310.10683).

L = -forget_weight * CE(D_f) + random_weight * CE(questions of D_f -> random answers)
    + retain_weight * E_{answer tokens of D_r}[ KL(pi_ref(. | y_<t, x) || pi(. | y_<t, x)) ]

Differs from the paper: one random answer a question and epoch, where the paper sums over several. The weights are its
epsilon 1 to 3, the answers those of other, retained samples. The preset llmu_clear is the variant of CLEAR
(arXiv:2410.18057): weights 1, refusals for random answers, and the KL divergence in the reverse direction.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from unlearn.data.answers import Answers
from unlearn.methods.base import KL_QUANTITY, KLDirection, Term, Views, Weighted, register


class RandomAnswers(Enum):
    """Where random answers to forget questions come from: refusals, or answers of retained samples."""

    idk = "idk"
    retain = "retain"


SOURCE = {RandomAnswers.idk: "refusals", RandomAnswers.retain: "retain"}


@register
@dataclass
class LLMU(Weighted):
    """Raise the cross-entropy of the forget answers, train on random ones, keep the retained distributions."""

    paper: ClassVar[str] = "arXiv:2310.10683"
    name: str = "llmu"
    forget_weight: float = 0.5
    random_weight: float = 1.0
    random_answers: RandomAnswers = RandomAnswers.retain
    kl_direction: KLDirection = KLDirection.forward

    def answers(self) -> Mapping[str, Answers]:
        """Return the view of the forget questions with random answers."""
        return {"random": Answers(of="forget", source=SOURCE[self.random_answers])}

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the token cross-entropy of true and random answers and the KL divergence of the retain view."""
        return {"forget": ("ce_tokens",), "random": ("ce_tokens",), "retain": (KL_QUANTITY[self.kl_direction],)}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield minus the forget cross-entropy, that of the random answers, then the KL divergence."""
        yield Term("forget", -views["forget"].ce_tokens, per="token", weight=self.forget_weight)
        yield Term("random", views["random"].ce_tokens, per="token", weight=self.random_weight)
        yield Term("retain", getattr(views["retain"], KL_QUANTITY[self.kl_direction]), "token", self.retain_weight)

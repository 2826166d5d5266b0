"""DPO: direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290, eq. 7), refusals before truths.

L = -E_{sequences of D_f}[ log sigmoid(beta (log pi(idk|x) - log pi_ref(idk|x) - log pi(y|x) + log pi_ref(y|x))) ]
    + retain term

Same as the paper on the forget questions, with a refusal as the preferred answer, the truth as the other one, and the
start model as pi_ref; the retain term is TOFU's (arXiv:2401.06121). CLEAR (arXiv:2410.18057) takes a model that was
tuned on refusals as pi_ref.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import logsigmoid

from unlearn.data.answers import Answers
from unlearn.methods.base import Term, Views, register
from unlearn.methods.forget_retain import ForgetRetain


def dpo_loss(chosen: Tensor, ref_chosen: Tensor, rejected: Tensor, ref_rejected: Tensor, beta: float) -> Tensor:
    """Return [B] DPO losses from [B] sequence log-probabilities of both answers, of the model and of the reference."""
    return -logsigmoid(beta * ((chosen - ref_chosen) - (rejected - ref_rejected)))


@register
@dataclass
class DPO(ForgetRetain):
    """Prefer a refusal to the forget answer."""

    paper: ClassVar[str] = "arXiv:2305.18290"
    name: str = "dpo"
    beta: float = 0.1

    def problems(self) -> list[str]:
        """Refuse an inverse temperature that is not positive."""
        return super().problems() + self.not_positive("beta", advice="the paper takes 0.1")

    def answers(self) -> Mapping[str, Answers]:
        """Return the view of the forget questions with refusals."""
        return {"idk": Answers(of="forget", source="refusals")}

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for sequence log-probabilities of both answers, of model and reference, and for the retain term's."""
        both = ("logps", "ref_logps")
        return {"idk": both, "forget": both, **self.retain_needs()}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the DPO loss per pair of answers, then the retain term."""
        idk, truth = views["idk"], views["forget"]
        losses = dpo_loss(idk.logps, idk.ref_logps, truth.logps, truth.ref_logps, self.beta)
        yield Term("forget", losses, per="sequence", weight=self.forget_weight)
        yield from self.retain_terms(views)

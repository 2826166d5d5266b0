"""SimNPO: NPO without a reference, on length-normalised answers (Fan et al. 2024, arXiv:2410.07163, eq. 4).

L = -(2/beta) E_{sequences of D_f}[ log sigmoid(-(beta/|y|) log pi(y|x) - gamma) ]  +  retain term

|y| is the number of answer tokens, end token included. Same as the paper, whose code has delta = gamma / beta inside
the bracket that beta multiplies.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import logsigmoid

from unlearn.methods.base import Term, Views, register
from unlearn.methods.forget_retain import ForgetRetain


def simnpo_loss(logps: Tensor, lengths: Tensor, beta: float, gamma: float) -> Tensor:
    """Return [B] SimNPO losses from [B] sequence log-probabilities and [B] answer lengths in tokens."""
    return -(2 / beta) * logsigmoid(-beta * logps / lengths - gamma)


@register
@dataclass
class SimNPO(ForgetRetain):
    """Lower the mean token log-probability of forget answers; what is unlikely already is left alone.

    gamma  margin by which beta x mean token loss is to exceed 0
    """

    paper: ClassVar[str] = "arXiv:2410.07163"
    name: str = "simnpo"
    beta: float = 4.5
    gamma: float = 0.0
    forget_weight: float = 0.125

    def problems(self) -> list[str]:
        """Refuse an inverse temperature that is not positive, and a negative margin."""
        found = super().problems() + self.not_positive("beta", advice="the paper takes 4.5")
        return found + self.below_zero("gamma")

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for sequence log-probabilities and lengths of forget answers, and for the retain term's quantity."""
        return {"forget": ("logps", "lengths"), **self.retain_needs()}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the SimNPO loss per forget sequence, then the retain term."""
        forget = views["forget"]
        losses = simnpo_loss(forget.logps, forget.lengths, self.beta, self.gamma)
        yield Term("forget", losses, per="sequence", weight=self.forget_weight)
        yield from self.retain_terms(views)

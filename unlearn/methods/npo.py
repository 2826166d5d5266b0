"""NPO: negative preference optimisation (Zhang et al. 2024, arXiv:2404.05868, eq. 3).

L = -(2/beta) E_{sequences of D_f}[ log sigmoid(-beta (log pi(y|x) - log pi_ref(y|x))) ]  +  retain term

Same as the paper: sequence sums, pi_ref the start model. The retain term is CE ("NPO+RT") or KL ("NPO+KL") on D_r.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import logsigmoid

from unlearn.methods.base import Term, Views, register
from unlearn.methods.forget_retain import ForgetRetain


def npo_loss(logps: Tensor, ref_logps: Tensor, beta: float) -> Tensor:
    """Return [B] NPO losses from [B] sequence log-probabilities of the model and of the frozen reference."""
    return -(2 / beta) * logsigmoid(-beta * (logps - ref_logps))


@register
@dataclass
class NPO(ForgetRetain):
    """Treat the forget answers as dispreferred; ascent that fades once they are unlikely."""

    paper: ClassVar[str] = "arXiv:2404.05868"
    name: str = "npo"
    beta: float = 0.1

    def problems(self) -> list[str]:
        """Refuse an inverse temperature that is not positive."""
        return super().problems() + self.not_positive("beta", advice="the paper takes 0.1")

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for sequence log-probabilities of model and reference, and for the retain term's quantity."""
        return {"forget": ("logps", "ref_logps"), **self.retain_needs()}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the NPO loss per forget sequence, then the retain term."""
        forget = views["forget"]
        yield Term("forget", npo_loss(forget.logps, forget.ref_logps, self.beta), "sequence", self.forget_weight)
        yield from self.retain_terms(views)

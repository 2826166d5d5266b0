"""PDU: unlearning as a constrained problem, solved by primal and dual steps (Entesari et al. 2025, arXiv:2506.05314).

L = E_{answer tokens of D_f}[ (max_v z_t(v) - mean_v z_t(v))^2 ]  +  lam (CE(D_r) - eps)
lam <- max(0, lam + eta (CE(D_r) - eps))  after every optimiser step, from epoch warmup_epochs (counted from 0) on

z are the model's logits: the first part is 0 where every token is as likely. lam is the Lagrange multiplier of the
constraint CE(D_r) <= eps. Same as the paper; its code steps lam once per micro-batch and process, here CE(D_r) is that
of the whole optimiser step.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from unlearn.methods.base import Method, Term, Views, register

VIOLATION = "retain_1"
"""CE(D_r) - eps in the log: the second term."""


def flatness_loss(logits: Tensor) -> Tensor:
    """Return [N] the squared distance from the largest logit to the mean one, of next-token logits [N, V]."""
    return (logits.max(-1).values - logits.mean(-1)).square()


def dual_step(multiplier: float, violation: float, eta: float) -> float:
    """Return the multiplier after a step of size `eta` up its constraint's violation."""
    return max(0.0, multiplier + eta * violation)


@register
@dataclass
class PDU(Method):
    """Flatten the forget distributions as far as the retained cross-entropy may stay below `eps`.

    lam0           multiplier at the start
    eps            largest retained cross-entropy, nats per token; there is no value that suits every model
    eta            step size of the multiplier
    warmup_epochs  epochs in which the multiplier stays
    """

    paper: ClassVar[str] = "arXiv:2506.05314"
    name: str = "pdu"
    lam0: float = 50.0
    eps: float | None = None
    eta: float = 1.0
    warmup_epochs: int = 5

    def problems(self) -> list[str]:
        """Return the parameters that are out of range, and ask for eps where it is not given."""
        missing = (
            "forget_loss.eps is null; pdu needs the loss in nats per token that retained answers may have: set it a "
            "bit above the start model's retain CE (retain_0 in the first line of a retain_ft run's log.jsonl)."
        )
        found = self.below_zero("lam0", "warmup_epochs") + self.not_positive("eps", "eta")
        return found + ([missing] if self.eps is None else [])

    def problems_over(self, num_epochs: int) -> list[str]:
        """Refuse a run that ends with the warm-up."""
        wrong = (
            f"forget_loss.warmup_epochs is {self.warmup_epochs} and num_epochs {num_epochs}, so the multiplier would "
            f"never move, and eps and eta have no effect; set num_epochs={self.warmup_epochs + 1} or more, or a "
            f"shorter warm-up."
        )
        return [wrong] if num_epochs <= self.warmup_epochs else []

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the logits at forget answers and for the token cross-entropy of retained ones."""
        return {"forget": ("logits",), "retain": ("ce_tokens",)}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the distance from flatness, then the constraint times its multiplier."""
        yield Term("forget", flatness_loss(views["forget"].logits), per="token")
        yield Term("retain", views["retain"].ce_tokens - self.eps, per="token", weight=views.multipliers["lam"])

    def multipliers(self) -> dict[str, float]:
        """Return the one multiplier as it is at the start."""
        return {"lam": self.lam0}

    def updated(self, multipliers: dict[str, float], terms: Mapping[str, float], epoch: int) -> dict[str, float]:
        """Return the multiplier after the step: the same during the warm-up."""
        if epoch < self.warmup_epochs:
            return multipliers
        return {"lam": dual_step(multipliers["lam"], terms[VIOLATION], self.eta)}

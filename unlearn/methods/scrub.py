"""SCRUB: a student that obeys its teacher on D_r and disobeys it on D_f (Kurmanji et al. 2023, arXiv:2302.09880).

L_min = gamma CE(D_r) + alpha T^2 E_{answer tokens of D_r}[ KL(softmax(z_ref / T) || softmax(z / T)) ]
L_max = -T^2 E_{answer tokens of D_f}[ KL(softmax(z_ref / T) || softmax(z / T)) ]
L = L_min + L_max  (scrub_joint, in one step)

`scrub` alternates: a pass with L_min over retained samples, then, in the first `msteps` epochs, a pass with L_max over
the forget set. Differs from the paper: an epoch begins with the min-phase (at pi = pi_ref the gradient of L_max is 0,
so that a max-phase would begin with rounding noise), and a min-phase is as long as the forget set unless
`min_phase_samples` says otherwise. T = 1 for language models.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from unlearn.methods.base import Method, Phase, Term, Views, register

STUDENT_AND_TEACHER = ("ce_tokens", "softened_kl_tokens")


@dataclass
class Distillation(Method):
    """The terms that both variants share.

    alpha, gamma  weights of the teacher and of the true answers on D_r
    temperature   T; T^2 keeps the gradient's size (Hinton et al. 2015, arXiv:1503.02531)
    """

    paper: ClassVar[str] = "arXiv:2302.09880"
    alpha: float = 1.0
    gamma: float = 1.0
    temperature: float = 1.0

    def problems(self) -> list[str]:
        """Return the parameters that are out of range."""
        return self.below_zero("alpha", "gamma") + self.not_positive("temperature")

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the teacher's divergence on both views and for the cross-entropy of the retained answers."""
        return {"retain": STUDENT_AND_TEACHER, "forget": STUDENT_AND_TEACHER[1:]}

    def min_terms(self, views: Views) -> Iterable[Term]:
        """Yield what is lowered: cross-entropy and divergence on the retained data."""
        retain = views["retain"]
        yield Term("retain", retain.ce_tokens, "token", self.gamma)
        yield Term("retain", retain.softened_kl_tokens(self.temperature), "token", self.alpha * self.temperature**2)

    def max_terms(self, views: Views) -> Iterable[Term]:
        """Yield minus what is raised: the divergence on the forget data."""
        yield Term("forget", -views["forget"].softened_kl_tokens(self.temperature), "token", self.temperature**2)


@register
@dataclass
class Scrub(Distillation):
    """Alternate between obeying on D_r and disobeying on D_f.

    msteps             epochs, from the first, that have a max-phase
    min_phase_samples  retained samples of a min-phase; None: as many as there are forget samples
    """

    name: str = "scrub"
    msteps: int = 2
    min_phase_samples: int | None = None

    def problems(self) -> list[str]:
        """Return the parameters that are out of range."""
        counts = {"msteps": self.msteps, "min_phase_samples": self.min_phase_samples}
        return super().problems() + [
            f"forget_loss.{key} is {value}; allowed are whole numbers from 1."
            for key, value in counts.items()
            if value is not None and value < 1
        ]

    def phases(self, epoch: int, sizes: Mapping[str, int]) -> Sequence[Phase]:
        """Return the min-phase of an epoch, and the max-phase of an early one."""
        samples = sizes["forget"] if self.min_phase_samples is None else self.min_phase_samples
        needs = self.needs()
        lower = Phase("min", "retain", {"retain": needs["retain"]}, self.min_terms, samples)
        upper = Phase("max", "forget", {"forget": needs["forget"]}, self.max_terms)
        return [lower, upper] if epoch < self.msteps else [lower]


@register
@dataclass
class ScrubJoint(Distillation):
    """Obey on D_r and disobey on D_f in one step; forget_weight is the weight of L_max."""

    name: str = "scrub_joint"
    forget_weight: float = 1.0

    def problems(self) -> list[str]:
        """Return the parameters that are out of range."""
        return super().problems() + self.not_positive("forget_weight")

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the terms of both phases."""
        yield from self.min_terms(views)
        for term in self.max_terms(views):
            yield Term(term.view, term.values, term.per, self.forget_weight * term.weight)

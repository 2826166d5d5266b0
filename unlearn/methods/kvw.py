"""KVW: weaken the knowledge vectors that forget answers read more than retained ones (2026, arXiv:2601.21794).

W <- W diag(exp(-gamma max(0, log(c_f + 1e-12) - log(c_r + 1e-12))))   W: down_proj of layers 1 to 25 of 28

c [H] is the mean of |z| at answer positions, z the input of down_proj: how much of each of its columns, the knowledge
vectors, is read. c_r is taken once, on D_r of the start model; c_f anew for every batch of D_f, on the model as the
batches before have left it, so that the gates of one pass multiply. Training-free.
Differs from the paper: layers are a fraction of the depth, so that it is told for models of other depths as well.
Same as the paper: one pass, whatever num_epochs is (gamma is the strength).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from unlearn.activations import Activations
from unlearn.methods.base import Facts, Phase, register
from unlearn.methods.training_free import TrainingFree

FIRST, BEYOND = 1 / 28, 26 / 28
"""Where along the depth the layers begin, and where they have ended: 1 to 25 of Qwen2-VL-2B's 28."""
SMALLEST = 1e-12


def gates(forget: Tensor, retain: Tensor, gamma: float) -> Tensor:
    """Return [H] factors in (0, 1] of columns from their mean coefficients [H] on D_f and D_r."""
    excess = (forget + SMALLEST).log() - (retain + SMALLEST).log()
    return (-gamma * excess.clamp(min=0)).exp()


@register
@dataclass
class KVW(TrainingFree):
    """Scale down what forget answers read more, and leave all else."""

    paper: ClassVar[str] = "arXiv:2601.21794"
    name: str = "kvw"
    gamma: float = 0.02

    def problems(self) -> list[str]:
        """Refuse a negative strength."""
        return self.below_zero("gamma")

    def trained_layers(self, depth: int) -> range:
        """Return the middle layers."""
        return range(round(FIRST * depth), round(BEYOND * depth))

    def activations(self) -> tuple[str, ...]:
        """Ask for those of D_r on the start model."""
        return ("retain",)

    def phases(self, epoch: int, sizes: Mapping[str, int]) -> Sequence[Phase]:
        """Return one pass over D_f."""
        del sizes
        return [Phase("", "forget", {"forget": ()}, self.terms, edit=self.edit)] if epoch == 0 else []

    def edit(self, seen: Mapping[str, Sequence[Activations]], facts: Facts) -> list[Tensor]:
        """Return the gates of a step's forget samples."""
        pairs = zip(seen["forget"], facts.activations["retain"], strict=True)
        return [gates(forget.magnitude, retain.magnitude, self.gamma) for forget, retain in pairs]

"""MANU: prune the neurons that matter more to the forget set (Liu et al. 2025, arXiv:2502.15910).

S_n = sum over k of I_k(D_f, n) / (I_k(D_r, n) + 1e-5),  k in {abs, freq, var, rms}
W <- W diag(1[n not among the `share` of all neurons with the largest S])   W: down_proj of every layer

of a neuron's activations z at answer positions: the mean of |z|, how often |z| > 0.1, the standard deviation of z, and
the root of the mean of z^2. All are taken once, on the start model. Training-free.
Differs from the paper: its importances tell the same questions with and without picture apart; here D_f and D_r are
taken as they are, at answer positions, and the ratios are those of its published code. Neurons of the language
model's MLPs alone are ranked, over all layers, and lose what they say (their columns of down_proj).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from unlearn.activations import Activations
from unlearn.masks import largest
from unlearn.methods.base import Facts, Phase, register
from unlearn.methods.training_free import TrainingFree

SMALLEST = 1e-5
IMPORTANCES = ("magnitude", "frequency", "deviation", "root_mean_square")


def scores(forget: Activations, retain: Activations) -> Tensor:
    """Return [H] how much more the neurons of an MLP matter to D_f than to D_r."""
    return sum(getattr(forget, name) / (getattr(retain, name) + SMALLEST) for name in IMPORTANCES)


@register
@dataclass
class MANU(TrainingFree):
    """Take out neurons, those first that are used for forget answers and not for retained ones."""

    paper: ClassVar[str] = "arXiv:2502.15910"
    name: str = "manu"
    share: float = 0.02

    def problems(self) -> list[str]:
        """Refuse a share that is none."""
        wrong = f"forget_loss.share is {self.share}; allowed is from 0 to below 1; the published code takes 0.02."
        return [] if 0 <= self.share < 1 else [wrong]

    def trained_layers(self, depth: int) -> range:
        """Return all layers."""
        return range(depth)

    def activations(self) -> tuple[str, ...]:
        """Ask for those of both sets on the start model."""
        return ("forget", "retain")

    def phases(self, epoch: int, sizes: Mapping[str, int]) -> Sequence[Phase]:
        """Return one step, which needs no samples any more."""
        del sizes
        return [Phase("", "forget", {}, self.terms, samples=1, edit=self.edit)] if epoch == 0 else []

    def edit(self, seen: Mapping[str, Sequence[Activations]], facts: Facts) -> list[Tensor]:
        """Return 0 for the neurons that are pruned and 1 for the others."""
        del seen
        pairs = zip(facts.activations["forget"], facts.activations["retain"], strict=True)
        ranked = [scores(forget, retain) for forget, retain in pairs]
        return [(~chosen).double() for chosen in largest(ranked, self.share)]

"""RMU: representation misdirection for unlearning (Li et al. 2024, arXiv:2403.03218, section 4).

L = forget_weight E_{D_f}[ |h_l - c u|^2 / d ] + retain_weight E_{D_r}[ |h_l - h_l^ref|^2 / d ]  at answer positions

h_l in R^d is the output of decoder layer l (from 0), u a direction with entries from U[0, 1) and length 1 that is fixed
for the run. Only layers l-2 to l train, and the forward stops at l.
Differs from the paper: at answer positions instead of all; all weights of the three layers train; c is c_relative times
the mean length of h_l^ref on D_f, since models differ in their scale (an absolute `c` is the paper's).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from unlearn.errors import UserError
from unlearn.forwards import View
from unlearn.methods.base import Facts, Measure, Term, Views, Weighted, register

DEPTH_OF_PAPER = 7 / 32
"""The paper's layer 7 of Zephyr-7B's 32."""
WINDOW = 3
"""Layers that train: l-2, l-1 and l."""


def control_vector(size: int, seed: int) -> Tensor:
    """Return u [size] in float64: entries from U[0, 1), then scaled to length 1; a function of `seed` alone."""
    u = torch.rand(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return u / u.norm()


def rmu_loss(hidden: Tensor, target: Tensor) -> Tensor:
    """Return [N] the mean over d of (hidden - target)^2; hidden [N, d], target [N, d] or one [d] for all."""
    if target.shape not in (hidden.shape, hidden.shape[-1:]):
        raise ValueError(f"a target of shape {tuple(target.shape)} does not fit hidden states {tuple(hidden.shape)}")
    return (hidden - target).pow(2).mean(-1)


@register
@dataclass
class RMU(Weighted):
    """Push the hidden states of the forget answers towards one random point, and hold those of the retained ones.

    layer       l, from 0; None: 7/32 of the depth, as in the paper
    c           length of the target; None: c_relative x mean length of the start model's hidden states on D_f
    """

    paper: ClassVar[str] = "arXiv:2403.03218"
    trains_layers: ClassVar[bool] = True
    name: str = "rmu"
    layer: int | None = None
    c: float | None = None
    c_relative: float = 5.0

    def problems(self) -> list[str]:
        """Return the parameters that are out of range."""
        return super().problems() + self.not_positive("c", "c_relative")

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the hidden states on both views, and for the reference's on the retained one."""
        return {"forget": ("hidden",), "retain": ("hidden", "ref_hidden")}

    def at(self, depth: int) -> int:
        """Return l for a model of `depth` decoder layers. Raises UserError for a layer that it does not have."""
        layer = round(DEPTH_OF_PAPER * depth) if self.layer is None else self.layer
        if not 0 <= layer < depth:
            raise UserError(f"forget_loss.layer is {layer}; allowed are 0 to {depth - 1}, the model's decoder layers.")
        return layer

    def trained_layers(self, depth: int) -> range:
        """Return the layers l-2 to l, as far as there are any."""
        layer = self.at(depth)
        return range(max(0, layer - WINDOW + 1), layer + 1)

    def measures(self) -> Mapping[str, Measure]:
        """Measure the mean length of the start model's hidden states on D_f, unless c is absolute."""
        return {"length": Measure("forget", ("ref_hidden",), self._length)} if self.c is None else {}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the squared distances to the target on forget answers, and to the reference on retained ones."""
        facts, forget, retain = views.facts, views["forget"], views["retain"]
        layer = self.at(facts.depth)
        hidden = forget.hidden(layer)
        length = self.c_relative * facts.measured["length"] if self.c is None else self.c
        target = length * control_vector(hidden.shape[-1], facts.seed).type_as(hidden)
        yield Term("forget", rmu_loss(hidden, target), "token", self.forget_weight)
        yield Term("retain", rmu_loss(retain.hidden(layer), retain.ref_hidden(layer)), "token", self.retain_weight)

    def _length(self, view: View, facts: Facts) -> Tensor:
        return view.ref_hidden(self.at(facts.depth)).norm(dim=-1)

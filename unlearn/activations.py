"""What MLP neurons do at answer positions: sums over the inputs of the linear layers that close the MLPs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unlearn.data.samples import Batch
from unlearn.forwards import answer_positions

ACTIVE = 0.1
"""A neuron is active at a position where it is further than this from 0 (as in MANU's published code)."""


@dataclass(frozen=True)
class Activations:
    """Of one MLP's neurons, over `count` answer positions.

    sums  [4, H] float64: of |z|, of 1[|z| > 0.1], of z and of z^2, with z the H inputs of the closing layer
    """

    sums: Tensor
    count: float

    @property
    def magnitude(self) -> Tensor:
        """[H] mean of |z|."""
        return self.sums[0] / self.count

    @property
    def frequency(self) -> Tensor:
        """[H] part of the positions where a neuron is active."""
        return self.sums[1] / self.count

    @property
    def deviation(self) -> Tensor:
        """[H] standard deviation of z."""
        mean = self.sums[2] / self.count
        return (self.sums[3] / self.count - mean**2).clamp(min=0).sqrt()

    @property
    def root_mean_square(self) -> Tensor:
        """[H] square root of the mean of z^2."""
        return (self.sums[3] / self.count).sqrt()


@torch.no_grad()
def activation_sums(model: nn.Module, batches: Iterable[Batch], layers: Sequence[nn.Linear]) -> tuple[Tensor, Tensor]:
    """Run `model`, as it is wrapped, on batches; return the sums [layers, 4, H] of `layers`, and the positions [1].

    Dummy rows do not count. `layers` have one width H.
    """
    weight = layers[0].weight
    sums = torch.zeros(len(layers), 4, weight.shape[1], dtype=torch.float64, device=weight.device)
    count = torch.zeros(1, dtype=torch.float64, device=weight.device)
    for batch in batches:
        where = answer_positions(batch) & (batch.weights > 0)[:, None]
        for total, inputs in zip(sums, _inputs(model, batch, layers), strict=True):
            z = inputs[where].double()
            total += torch.stack([z.abs(), (z.abs() > ACTIVE).double(), z, z.square()]).sum(1)
        count += where.sum()
    return sums, count


def _inputs(model: nn.Module, batch: Batch, layers: Sequence[nn.Linear]) -> list[Tensor]:
    """Return the inputs [B, S, H] of each layer; no row passes through the output layer."""
    kept: dict[nn.Module, Tensor] = {}
    hooks = [
        layer.register_forward_pre_hook(lambda module, inputs: kept.update({module: inputs[0]})) for layer in layers
    ]
    try:
        model(**batch.inputs, use_cache=False, logits_to_keep=torch.zeros_like(answer_positions(batch)))
    finally:
        for hook in hooks:
            hook.remove()
    return [kept[layer] for layer in layers]

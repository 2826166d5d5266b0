"""Passes in eval mode, over whole sets before the first step: means, gradients for a mask, and activations.

They depend neither on how the samples are divided among processes and micro-batches nor on where a run is resumed.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from unlearn.activations import Activations, activation_sums
from unlearn.data.samples import Batch
from unlearn.forwards import Reference, View, answer_counts, normalised
from unlearn.masks import HardMask, Mask, gradient_sums
from unlearn.methods.base import Facts, Measure
from unlearn.processes import sum_over

log = logging.getLogger(__name__)


@dataclass
class Survey:
    """What the passes of one run share.

    wrapped  the prepared model
    batches  from a set and a size, this process's part of the set in micro-batches of that size
    """

    accelerator: Accelerator
    wrapped: nn.Module
    reference: Reference | None
    batches: Callable[[str, int], Iterable[Batch]]
    view: type[View]

    @torch.no_grad()
    def mean(self, measure: Measure, facts: Facts, size: int) -> float:
        """Return a mean over all answer tokens of a set, from micro-batches of `size`."""
        sums = torch.zeros(2, dtype=torch.float64)
        with self._evaluating():
            for view in self._views(measure.view, size):
                total = normalised(measure.values(view, facts), view.weights("token"), 1.0)
                sums += torch.tensor([total.item(), answer_counts(view.batch)["token"]], dtype=torch.float64)
        total, count = sum_over(self.accelerator, sums).tolist()
        return total / count

    def activations(self, batches: Iterable[Batch], layers: Sequence[nn.Linear]) -> list[Activations]:
        """Return those of each layer over this process's `batches` and all others'."""
        device = self.accelerator.device
        with self._evaluating():
            sums, count = activation_sums(self.wrapped, (batch.to(device) for batch in batches), layers)
        count = sum_over(self.accelerator, count).item()
        return [Activations(total, count) for total in sum_over(self.accelerator, sums)]

    def mask(self, mask: Mask, parameters: Sequence[nn.Parameter]) -> HardMask:
        """Return the mask of `parameters`, from single samples: so no padding and no division can change it."""
        statistics = [self._gradients(name, mask.squares, parameters) for name in mask.sets]
        hard = HardMask(parameters, mask.choose(statistics))
        log.info("mask: %.2f%% of what trains may move", 100 * hard.share())
        return hard

    def _gradients(self, name: str, squares: bool, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
        acc = self.accelerator
        # What is not accumulated into .grad is not averaged over processes: DDP is told to expect nothing.
        with self._evaluating(), acc.no_sync(self.wrapped):
            sums, reached = gradient_sums(self._views(name, 1), parameters, squares)
        sums = [acc.reduce(total, reduction="sum") for total in sums]
        counts = acc.reduce(reached, reduction="sum").clamp(min=1)
        return [total / count if squares else total.abs() for total, count in zip(sums, counts, strict=True)]

    def _views(self, name: str, size: int) -> Iterator[View]:
        for batch in self.batches(name, size):
            yield self.view(batch.to(self.accelerator.device), self.wrapped, self.reference)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        self.wrapped.eval()
        yield
        self.wrapped.train()

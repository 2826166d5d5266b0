"""Which entries of the trained weights may move: chosen by gradients at the start weights, and held hard.

SalUn (Fan et al. 2024, arXiv:2310.12508, eqs. 3 and 4), around the loss of any method:

    m = 1[ |sum_{D_f} grad CE| >= gamma ]        theta_u = m * (theta_0 + delta) + (1 - m) * theta_0

with one gamma for all weights, such that the wanted share of them moves. Differs from the paper: an entry without any
gradient is never among the largest, however few have one (unless all entries are asked for).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from unlearn.forwards import View, answer_counts, normalised

Statistics = Sequence[Sequence[Tensor]]
"""Of each set, a tensor of every parameter's shape."""


@dataclass(frozen=True)
class Mask:
    """What is measured of the gradients of single samples at the start weights, in eval mode, and what it chooses.

    sets     the sets that are passed over
    squares  False: |sum over all answer tokens of the cross-entropy's gradient|. True: mean over the samples of the
             squared gradient of a sample's mean cross-entropy; a tensor's mean is over the samples that reach it, as
             texts do not reach what sees
    choose   from the statistics of these sets, for every parameter the entries that may move, of its shape, boolean
    """

    sets: tuple[str, ...]
    squares: bool
    choose: Callable[[Statistics], Sequence[Tensor]]


def saliency(share: float) -> Mask:
    """Return SalUn's mask: the `share` of all entries with the largest gradients of the forget answers."""
    return Mask(("forget",), False, partial(_largest_of, share))


def _largest_of(share: float, statistics: Statistics) -> list[Tensor]:
    (forget,) = statistics
    return largest(forget, share)


def largest(values: Sequence[Tensor], share: float) -> list[Tensor]:
    """Return, of tensors >= 0 of one type, where the floor(share n) largest of all their n entries are.

    Entries as large as the smallest of them are chosen too, and zeros never are, unless all entries are.
    """
    size = sum(v.numel() for v in values)
    count = int(share * size)
    if count == size:
        return [torch.ones_like(v, dtype=torch.bool) for v in values]
    smallest = _ranked(values, count) if count else torch.inf
    return [(v >= smallest) & (v > 0) for v in values]


def _ranked(values: Sequence[Tensor], rank: int) -> float:
    """Return the rank-th largest entry, by bisection: sorting would copy all weights of the model into one tensor.

    Floats >= 0 are in the order of their bits read as integers, so 63 counts (31 in float32) find it exactly.
    """
    kind = values[0].dtype
    bits = {torch.float32: torch.int32, torch.float64: torch.int64}[kind]
    low, high = 0, torch.iinfo(bits).max
    while high - low > 1:
        middle = (low + high) // 2
        bound = torch.tensor(middle, dtype=bits).view(kind).item()
        # Bits above those of infinity are not a number, which nothing is as large as.
        reached = sum(torch.count_nonzero(v >= bound) for v in values)
        low, high = (middle, high) if reached >= rank else (low, middle)
    return torch.tensor(low, dtype=bits).view(kind).item()


def gradient_sums(views: Iterable[View], parameters: Sequence[Tensor], squares: bool) -> tuple[list[Tensor], Tensor]:
    """Return the sums of `Mask.squares` over views of one sample each, and how many samples reach each parameter."""
    sums = [torch.zeros_like(p) for p in parameters]
    reached = torch.zeros(len(sums), device=sums[0].device)
    for view in views:
        count = answer_counts(view.batch)["token"] if squares else 1.0
        loss = normalised(view.ce_tokens, view.weights("token"), count)
        for i, slope in enumerate(torch.autograd.grad(loss, parameters, allow_unused=True)):
            if slope is not None:
                sums[i] += slope.square() if squares else slope
                reached[i] += slope.any()
    return sums, reached


class HardMask:
    """Holds what may not move: `masks` are true where `parameters` may."""

    def __init__(self, parameters: Sequence[nn.Parameter], masks: Sequence[Tensor]) -> None:
        self.held = [(p, ~mask) for p, mask in zip(parameters, masks, strict=True)]

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Leave the gradients of what is held out, and put its weights back afterwards, bit for bit.

        The former alone would not do: weight decay and the optimiser's states move weights without a gradient too.
        """
        for parameter, out in self.held:
            if parameter.grad is not None:
                parameter.grad.masked_fill_(out, 0)
        kept = [parameter.detach()[out] for parameter, out in self.held]
        yield
        with torch.no_grad():
            for (parameter, out), values in zip(self.held, kept, strict=True):
                parameter.masked_scatter_(out, values)

    def share(self) -> float:
        """Return the part of all entries that may move."""
        held = sum(int(torch.count_nonzero(out)) for _, out in self.held)
        return 1 - held / sum(out.numel() for _, out in self.held)

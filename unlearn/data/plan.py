"""Which samples make which optimiser step: a function of the seed and the epoch alone.

The plan is in global sample ids. A process takes every W-th id of a step (W processes), in micro-batches of its
batch size, so that the same global batch gives the same step however it is divided.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unlearn.data.questions import stable_integer

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """One optimiser step: for each view the ids of its samples over all processes."""

    epoch: int
    ids: dict[str, Ids]


@dataclass(frozen=True)
class MicroBatch:
    """What one process forwards at once: for each view the ids of its samples, possibly none."""

    epoch: int
    ids: dict[str, Ids]


def permutation(size: int, *parts: object) -> np.ndarray:
    """Return a permutation of range(size) that depends on `parts` alone."""
    return np.random.default_rng(stable_integer(*parts)).permutation(size)


def pass_steps(
    sizes: Mapping[str, int],
    primary: str,
    views: Mapping[str, str],
    global_batch: int,
    seed: int,
    epoch: int,
    samples: int | None = None,
) -> list[Step]:
    """Return the steps of one pass over the primary set.

    sizes    number of samples of each set
    primary  the set whose pass it is; it need not be a set of `views`
    views    the set of each view: views of one set have the same samples in the same places
    samples  length of the pass; None: the whole primary set, in an order of its own every epoch

    Each primary sample comes with one sample of every other set, drawn without replacement: position p of all
    positions so far takes entry p of that set's permutations, one after the other. So do the primary samples of a pass
    that is not over the whole set.
    """
    count = sizes[primary] if samples is None else samples
    drawn = {}
    for name in dict.fromkeys(views.values()):
        whole = name == primary and samples is None
        drawn[name] = _order(name, count, seed, epoch) if whole else _drawn(name, sizes[name], count, seed, epoch)
    return [
        Step(epoch, {view: tuple(drawn[name][start : start + global_batch]) for view, name in views.items()})
        for start in range(0, count, global_batch)
    ]


def _order(name: str, size: int, seed: int, epoch: int) -> list[int]:
    return permutation(size, "order", seed, name, epoch).tolist()


def _drawn(name: str, size: int, count: int, seed: int, epoch: int) -> list[int]:
    passes = range(epoch * count // size, ((epoch + 1) * count - 1) // size + 1)
    pool = np.concatenate([permutation(size, "pairing", seed, name, k) for k in passes])
    first = epoch * count - passes.start * size
    return pool[first : first + count].tolist()


def micro_batches(steps: Sequence[Step], rank: int, world: int, batch: int, parts: int) -> list[MicroBatch]:
    """Return the `parts` micro-batches of each step that process `rank` of `world` forwards, empty ones included."""
    return [
        MicroBatch(
            step.epoch, {view: ids[rank::world][part * batch : (part + 1) * batch] for view, ids in step.ids.items()}
        )
        for step in steps
        for part in range(parts)
    ]

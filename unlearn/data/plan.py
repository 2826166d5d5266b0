"""Which samples make which optimiser step: a function of the seed and the epoch alone.

The plan is in global sample ids. A process takes every W-th id of a step (W processes), in micro-batches of its
batch size, so that the same global batch gives the same step however it is divided.
"""

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

    step: int
    ids: dict[str, Ids]


def permutation(size: int, *parts: object) -> np.ndarray:
    """Return a permutation of range(size) that depends on `parts` alone."""
    return np.random.default_rng(stable_integer(*parts)).permutation(size)


def epoch_steps(sizes: dict[str, int], primary: str, global_batch: int, seed: int, epoch: int) -> list[Step]:
    """Return the steps of one pass over the primary view.

    sizes    number of samples of each view and of the primary view
    primary  the view whose pass is an epoch (the forget set); it need not be a view that the method reads

    Each primary sample comes with one sample of every other view, drawn without replacement: position p of all
    positions so far takes entry p of that view's permutations, one after the other.
    """
    count = sizes[primary]
    drawn = {view: _column(view, size, primary, count, seed, epoch) for view, size in sizes.items()}
    return [
        Step(epoch, {view: tuple(ids[start : start + global_batch]) for view, ids in drawn.items()})
        for start in range(0, count, global_batch)
    ]


def _column(view: str, size: int, primary: str, count: int, seed: int, epoch: int) -> list[int]:
    if view == primary:
        return permutation(size, "order", seed, view, epoch).tolist()
    passes = range(epoch * count // size, ((epoch + 1) * count - 1) // size + 1)
    pool = np.concatenate([permutation(size, "pairing", seed, view, k) for k in passes])
    first = epoch * count - passes.start * size
    return pool[first : first + count].tolist()


def micro_batches(
    steps: list[Step], views: list[str], rank: int, world: int, batch: int, parts: int
) -> list[MicroBatch]:
    """Return the `parts` micro-batches of each step that process `rank` of `world` forwards, empty ones included."""
    return [
        MicroBatch(number, {view: step.ids[view][rank::world][part * batch : (part + 1) * batch] for view in views})
        for number, step in enumerate(steps)
        for part in range(parts)
    ]

"""Jensen-Shannon distance between the truth ratios of a model and of gold, over bins that gold fixes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import jensenshannon

from unlearn.metrics.logs import TaskLog
from unlearn.metrics.scores import Floats

MANY_ITEMS = 100
"""From so many items on there are ten bins, below five: about ten items a bin of a small set."""

PSEUDO_COUNT = 0.5
"""Added to every bin, so that one item in a bin that is empty for the other model does not count as certainty."""


@dataclass(frozen=True)
class Divergence:
    """Distances in [0, 1].

    model  between the model and the pooled golds
    gold   the largest between a gold and the pool of the others, None for a single gold: what chance alone gives
    """

    model: float
    gold: float | None


def divergence(model: TaskLog, golds: Mapping[str, TaskLog], own: str | None = None) -> Divergence:
    """Return the Jensen-Shannon distance of log R [n] on a task, beside its value between the gold seeds.

    The task has wrong answers: without any there is no R.

    own  the name among `golds` that `model` goes by, for a gold, which is compared with the others

    sqrt(1/2 KL(p || m) + 1/2 KL(q || m)) in bits with m = (p + q) / 2 (Endres and Schindelin 2003, "A new metric for
    probability distributions"), p and q the shares of the bins, whose edges are the deciles (quintiles of fewer than
    100 items) of all golds pooled, open at both ends. So the bins are those of the task, not of the model.
    """
    ratios = {name: gold.log_ratio for name, gold in golds.items()}
    edges = bin_edges(np.concatenate(list(ratios.values())), len(model.items))
    counts = {name: bin_counts(values, edges) for name, values in ratios.items()}
    others = {name: [c for other, c in counts.items() if other != name] for name in counts}
    between = [_distance(counts[name], rest) for name, rest in others.items() if rest]
    pool = others[own] if own is not None and others[own] else list(counts.values())
    return Divergence(_distance(bin_counts(model.log_ratio, edges), pool), max(between, default=None))


def bin_edges(pooled: Floats, items: int) -> Floats:
    """Return the inner edges of the bins: quantiles of the golds' values, each once."""
    bins = 10 if items >= MANY_ITEMS else 5
    return np.unique(np.quantile(pooled, np.arange(1, bins) / bins))


def bin_counts(values: Floats, edges: Floats) -> Floats:
    """Return how many of `values` fall into each of the len(edges) + 1 bins; an edge belongs to the bin above it."""
    return np.bincount(np.digitize(values, edges), minlength=len(edges) + 1).astype(np.float64)


def _distance(model: Floats, pool: Sequence[Floats]) -> float:
    # The mean over the seeds, not their sum: the pseudo-count weighs the same on both sides, and equals are at 0.
    gold = np.mean(pool, axis=0)
    return float(jensenshannon(model + PSEUDO_COUNT, gold + PSEUDO_COUNT, base=2))

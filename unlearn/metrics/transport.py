"""Wasserstein-1 distance of weighted samples, for many weightings at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unlearn.metrics.scores import Floats

CHUNK = 2**17
"""Weights worked on at a time: 1 MiB of doubles, which stays in a processor's cache."""


@dataclass(frozen=True)
class Scored:
    """The scores of a model's items, values [n], and the row of `counts` that belongs to each item, rows [n]."""

    values: Floats
    rows: NDArray[np.int64]


def transport(model: Scored, pool: Sequence[Scored], counts: Floats, seeds: Floats) -> tuple[Floats, Floats]:
    """Return Wasserstein-1 distance and mean difference, each [R], of a model's scores to those of S pooled golds.

    counts  [G, R] how often each group counts; every log has the same number of items of each group
    seeds   [S, R] how often each gold counts

    W1 = integral of |F_model(x) - F_pool(x)| dx = sum_i |F_model(x_i) - F_pool(x_i)| (x_(i+1) - x_i) over the sorted
    pooled values x_i (Vallender 1974, "Calculation of the Wasserstein distance between probability distributions on
    the line"). Both distribution functions are running sums of item weights, those of gold taken negative.
    """
    values = np.concatenate([model.values, *(gold.values for gold in pool)])
    order = np.argsort(values, kind="stable")
    values = values[order]
    rows = np.concatenate([model.rows, *(gold.rows for gold in pool)])[order]
    source = np.repeat(np.arange(1 + len(pool)), [len(model.values), *(len(gold.values) for gold in pool)])[order]
    share = np.concatenate([np.ones((1, seeds.shape[1])), -seeds / seeds.sum(axis=0)])
    items = np.bincount(model.rows, minlength=len(counts)) @ counts
    distance, shift = np.empty(len(items)), np.empty(len(items))
    width = max(1, CHUNK // len(values))
    for start in range(0, len(items), width):
        part = slice(start, start + width)
        weights = counts[rows, part] * share[source, part]
        shift[part] = values @ weights
        distance[part] = np.diff(values) @ np.abs(np.cumsum(weights, axis=0)[:-1])
    return distance / items, shift / items

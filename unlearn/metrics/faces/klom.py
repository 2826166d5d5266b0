"""KLoM: how differently the margins of each sample are spread over unlearned models and over gold models."""

from dataclasses import dataclass

import numpy as np

from unlearn.errors import UserError
from unlearn.metrics.faces.enrolment import Bools
from unlearn.metrics.scores import Floats

BINS = 20
RANGE = (0.01, 0.99)
"""Quantiles between which the bins lie; the first and the last are open, so nothing is left out."""
PSEUDO_COUNT = 0.5
"""Added to every bin: one that is empty for the unlearned models is no certainty."""


@dataclass(frozen=True)
class Margins:
    """Margins [M, S] of models on samples, and which of them count, [M, S]: for one sample, of one or more models."""

    values: Floats
    counted: Bools


@dataclass(frozen=True)
class KLoM:
    """Mean and 95th percentile over samples, in nats."""

    mean: float
    percentile_95: float


def klom(gold: Margins, unlearned: Margins) -> KLoM:
    """Return the summary of `divergences`."""
    found = divergences(gold, unlearned)
    return KLoM(float(found.mean()), float(np.quantile(found, 0.95)))


def divergences(gold: Margins, unlearned: Margins) -> Floats:
    """Return [S] KL(gold || unlearned) = sum over bins of p log(p / q) in nats, for each sample over the models.

    p, q  (count + 0.5) / (models + 10) of 20 bins of equal width between the 1% and the 99% quantile of both pooled,
          open at both ends; an edge belongs to the bin above

    Georgiev et al. 2024, "Attribute-to-Delete" (arXiv:2410.23232, section 2). 0 for equal models; models of other seeds
    have a KLoM above 0, so read it beside that of gold against itself (`study.py`). Differs from the paper: the margin
    is that of cosines to enrolment vectors, and the pseudo-count. Raises UserError for a sample without models.
    """
    for side, name in ((gold, "gold"), (unlearned, "unlearned")):
        if not side.counted.any(axis=0).all():
            raise UserError(f"A sample has no {name} model to compare; evaluate more splits.")
    low, high = np.nanquantile(np.concatenate([_kept(gold), _kept(unlearned)]), RANGE, axis=0)
    p, q = (_shares(side, low, high) for side in (gold, unlearned))
    return (p * np.log(p / q)).sum(axis=1)


def _kept(side: Margins) -> Floats:
    return np.where(side.counted, side.values, np.nan)


def _shares(side: Margins, low: Floats, high: Floats) -> Floats:
    """Return [S, bins] shares of a sample's margins; where all are equal they are in the first bin."""
    width = np.where(high > low, high - low, 1.0) / BINS
    bins = np.clip(np.floor((side.values - low) / width), 0, BINS - 1).astype(np.int64)
    samples = np.broadcast_to(np.arange(bins.shape[1]), bins.shape)
    places = (samples * BINS + bins)[side.counted]
    counts = np.bincount(places, minlength=bins.shape[1] * BINS).reshape(-1, BINS) + PSEUDO_COUNT
    return counts / counts.sum(axis=1, keepdims=True)

"""Membership attacks: whether a model's answers tell people whom it was trained on from people it never saw.

Each attack gives an item a number that is small where the item looks trained on. "Members" are the items of a forget
task, "others" those of the holdout task that asks the same about people in no training set. An area under the ROC curve
of 1 says that the forget set looks trained on, 1/2 that nothing can be told; below 1/2 it looks less trained on than
what was never seen, which tells the two sets apart just as well (over-forgetting).
"""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unlearn.metrics.scores import Floats

KEPT = 0.4
"""Share of an answer's tokens, the least likely ones, that Min-K and Min-K++ look at."""

SMALLEST_SIGMA = 1e-6
"""Of a distribution that is certain sigma is 0, and so is what it divides; JSON has no infinity."""


class Attack(Enum):
    """Six attacks, with their names in tables.

    loss           mean token loss of the true answer in nats (Yeom et al. 2018, arXiv:1709.01604)
    zlib           that loss over the bytes of the compressed answer (Carlini et al. 2021, arXiv:2012.07805)
    min_k          `min_k` (Shi et al. 2024, arXiv:2310.16789)
    min_k_plus     `min_k_plus_plus` (Zhang et al. 2024, arXiv:2404.02936)
    reference      the loss minus that of a reference model (Carlini et al. 2021)
    gradient_norm  Euclidean norm of the loss's gradient by all parameters (Wang et al. 2024, arXiv:2402.17012)
    """

    loss = "loss"
    zlib = "zlib"
    min_k = "Min-K"
    min_k_plus = "Min-K++"
    reference = "reference"
    gradient_norm = "gradient norm"


LOGGED = {
    Attack.zlib: "mia_zlib",
    Attack.min_k: "mia_min_k",
    Attack.min_k_plus: "mia_min_k_plus_plus",
    Attack.gradient_norm: "mia_gradient_norm",
}
"""Keys of a log under which an attack's number stands; the other two are made of the losses that every log has."""


def attack_scores(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a record's true answer by their keys of a log, those of `LOGGED` that it can give."""
    true = record["answers"]["true"]
    loss = -math.fsum(true["logp"]) / len(true["logp"])
    scores = {
        Attack.zlib: zlib_ratio(loss, true["text"]),
        Attack.min_k: min_k(true["logp"]),
        Attack.min_k_plus: min_k_plus_plus(true["logp"], true["mu"], true["sigma"]),
    }
    if "gradient_norm" in record:
        scores[Attack.gradient_norm] = record["gradient_norm"]
    return {LOGGED[attack]: score for attack, score in scores.items()}


def zlib_ratio(loss: float, text: str) -> float:
    """Return a loss (nats per token) over the length of the compressed text in bytes.

    A text that repeats itself is easy for any model; its entropy, as zlib sees it, says how easy (Carlini et al. 2021,
    arXiv:2012.07805, section 5.2).
    """
    return loss / len(zlib.compress(text.encode()))


def min_k(logp: ArrayLike) -> float:
    """Return -mean of the lowest max(1, floor(0.4 L)) of the log-probabilities [L], in nats (Min-K% Prob).

    An answer that was never seen has a few tokens that surprise (Shi et al. 2024, arXiv:2310.16789).
    """
    values = np.sort(np.asarray(logp, dtype=np.float64))
    return -float(np.mean(values[: max(1, math.floor(KEPT * len(values)))]))


def min_k_plus_plus(logp: ArrayLike, mu: ArrayLike, sigma: ArrayLike) -> float:
    """Return `min_k` of z = (logp - mu) / sigma, each [L], without unit.

    mu, sigma  mean and standard deviation of log p(v) under the model's own next-token distribution

    How much likelier a token is than what the model expects of a token there: what was trained on stands at a mode
    (Zhang et al. 2024, arXiv:2404.02936). Differs from the paper: sigma is at least 1e-6.
    """
    shift = np.asarray(logp, dtype=np.float64) - np.asarray(mu, dtype=np.float64)
    return min_k(shift / np.maximum(np.asarray(sigma, dtype=np.float64), SMALLEST_SIGMA))


@dataclass(frozen=True)
class Sample:
    """The scores of a task's items, values [n], and how often each counts in R weightings, counts [n, R]."""

    values: Floats
    counts: Floats


@dataclass(frozen=True)
class Ranked:
    """Members and others, each from the lowest score on, for curves under many weightings.

    Weights are [R, members] and [R, others] in that order.

    left, right  [members] how many of the others are below a member, and below or tied with it
    below        [others + 1] how many of the members are below each of the others, and all of them
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    below: NDArray[np.int64]

    @classmethod
    def of(cls, members: Floats, others: Floats) -> "Ranked":
        """Rank two sorted arrays of scores."""
        left, right = (np.searchsorted(others, members, side=side) for side in ("left", "right"))
        return cls(left, right, np.searchsorted(members, np.append(others, np.inf), side="left"))

    def auc(self, members: Floats, others: Floats) -> Floats:
        """Return [R] the area under the ROC curve; see `auc`."""
        passed = _passed(others)
        above = passed[:, -1:] - 0.5 * (passed[:, self.left] + passed[:, self.right])
        return (members * above).sum(axis=1) / (members.sum(axis=1) * passed[:, -1])

    def tpr_at_fpr(self, members: Floats, others: Floats, rate: float) -> Floats:
        """Return [R] the share of members found; see `tpr_at_fpr`."""
        wrong, right = np.cumsum(others, axis=1), _passed(members)
        # A millionth of an item against rounding: 0.07 x 100 is a little more than 7, 0.29 x 100 a little less than 29.
        allowed = (wrong <= rate * wrong[:, -1:] + 1e-6).sum(axis=1)
        return right[np.arange(len(right)), self.below[allowed]] / right[:, -1]


def auc(members: Sample, others: Sample) -> Floats:
    """Return [R] the area under the ROC curve: the probability that a member's score is below another's.

    Ties count half (Mann and Whitney 1947; Fawcett 2006, "An introduction to ROC analysis").
    """
    ranked, weights = _ranked(members, others)
    return ranked.auc(*weights)


def tpr_at_fpr(members: Sample, others: Sample, rate: float) -> Floats:
    """Return [R] the largest share of members found by a threshold that takes at most `rate` of the others for members.

    An attack that is sure of few people harms them, though its area is near 1/2 (Carlini et al. 2022,
    arXiv:2112.03570). Whoever ties with the first other beyond the allowed ones is not found: no threshold lies between
    them.
    """
    ranked, weights = _ranked(members, others)
    return ranked.tpr_at_fpr(*weights, rate)


def _ranked(members: Sample, others: Sample) -> tuple[Ranked, tuple[Floats, Floats]]:
    orders = [np.argsort(sample.values, kind="stable") for sample in (members, others)]
    ranked = Ranked.of(members.values[orders[0]], others.values[orders[1]])
    return ranked, (members.counts.T[:, orders[0]], others.counts.T[:, orders[1]])


def _passed(weights: Floats) -> Floats:
    """Return [R, n + 1] the weight of the first 0, 1, ... n."""
    return np.concatenate([np.zeros((len(weights), 1)), np.cumsum(weights, axis=1)], axis=1)


def privleak(found: ArrayLike, gold: ArrayLike) -> Floats:
    """Return 100 ((1 - AUC) - (1 - AUC_gold)) / (1 - AUC_gold) in percent, of areas below 1 for gold.

    PrivLeak of MUSE (Shi et al. 2024, arXiv:2407.06460), in which AUC stands for what is 1 - AUC here. 0: as little can
    be told as from gold, which never saw the members. Towards -100 they look trained on (not forgotten); above 0 less
    trained on than under gold (over-forgotten), without bound where gold's area is near 1.
    """
    hidden, gold_hidden = 1 - np.asarray(found, dtype=np.float64), 1 - np.asarray(gold, dtype=np.float64)
    return 100 * (hidden - gold_hidden) / gold_hidden

"""What an attack on unlearned models achieves: accuracy, area, true positives at few false ones, with intervals.

An attack is shown a model and a sample (a picture, or a person) and says whether the model was trained on it and then
made to forget it (in), or never saw it (out). Where forgetting is exact nothing can be told: 1/2 by symmetry.

Intervals come from a two-way bootstrap (Owen 2007, "The pigeonhole bootstrap", arXiv:0712.1111): folds of models and
people are each drawn anew with replacement, and a cell counts as often as its fold times as often as its person. It is
somewhat too wide where cells have much noise of their own. In simulations of models without any difference, with four
pictures a person, 95% intervals of the area held 1/2 in 98 of 100 studies of 8 pairs of models and 12 people (mean
width 0.16), in 97 of 8 pairs and 6 people (0.20), in 93 of 5 pairs and 6 people (0.25) and in 98 of 16 pairs and 20
people (0.09).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from unlearn.metrics.bootstrap import Interval, draw_groups, interval
from unlearn.metrics.faces.enrolment import Bools, Ints
from unlearn.metrics.membership import Ranked
from unlearn.metrics.privacy import RATES
from unlearn.metrics.scores import Floats

DRAWS, SEED = 500, 0

FEWEST = 5
"""Folds, and people, without which there is no interval."""

CHUNK = 2**17
"""Weights worked on at a time: 1 MiB of doubles, which stays in a processor's cache."""


@dataclass(frozen=True)
class Verdicts:
    """What an attack says of every model and sample.

    ratio            [M, S] log-likelihood ratio, or log-odds: above 0 the attack says "in"
    inside, outside  [M, S] the cells where that is right, and where it is wrong; a cell of neither does not count
    person           [S] whose sample it is
    fold             [M] models that are drawn together
    """

    ratio: Floats
    inside: Bools
    outside: Bools
    person: Ints
    fold: Ints


@dataclass(frozen=True)
class Attacked:
    """Results in [0, 1]; chance is 1/2 for the first two and the rate itself for the third.

    accuracy  balanced: mean of the shares of in cells and of out cells told right, ratio 0 half right
    auc       probability that an in cell's ratio is above an out cell's
    tpr       by name of the rate (RATES): share of in cells found at a threshold that takes at most that rate of out
              cells for in; the ROC curve is a step function, nothing is interpolated. None with too few out cells to
              make up the rate with a whole one
    """

    accuracy: Interval
    auc: Interval
    tpr: Mapping[str, Interval | None]


def attacked(verdicts: Verdicts, draws: int = DRAWS, seed: int = SEED) -> Attacked:
    """Return an attack's results with 95% intervals, a function of the verdicts and the seed."""
    members, others = _Cells.of(verdicts, verdicts.inside), _Cells.of(verdicts, verdicts.outside)
    ranked, right = Ranked.of(members.values, others.values), (members.right(-1), others.right(1))
    known = {name: rate for name, rate in RATES.items() if len(others.values) >= round(1 / rate)}
    found: dict[str, list[Floats]] = {name: [] for name in ("accuracy", "auc", *known)}
    for weights in _weights(members, others, draws, seed):
        shares = [of_side @ told / of_side.sum(axis=1) for of_side, told in zip(weights, right, strict=True)]
        found["accuracy"].append(0.5 * (shares[0] + shares[1]))
        found["auc"].append(ranked.auc(*weights))
        for name, rate in known.items():
            found[name].append(ranked.tpr_at_fpr(*weights, rate))
    results = {name: interval(np.concatenate(values)) for name, values in found.items()}
    return Attacked(results["accuracy"], results["auc"], {name: results.get(name) for name in RATES})


def roc(verdicts: Verdicts) -> tuple[Floats, Floats]:
    """Return the false and the true positive rates of every threshold, from (0, 0) to (1, 1), ties taken together."""
    members, others = (np.sort(verdicts.ratio[cells]) for cells in (verdicts.inside, verdicts.outside))
    thresholds = np.unique(np.concatenate([members, others]))[::-1]
    rates = [
        np.append(0.0, 1 - np.searchsorted(side, thresholds, side="left") / len(side)) for side in (others, members)
    ]
    return rates[0], rates[1]


class _Cells(NamedTuple):
    """Cells in the order of their values, small where the attack says "in", as `membership.Ranked` has them."""

    values: Floats
    folds: Ints
    people: Ints

    @classmethod
    def of(cls, verdicts: Verdicts, which: Bools) -> "_Cells":
        models, samples = np.nonzero(which)
        values = -verdicts.ratio[models, samples]
        order = np.argsort(values, kind="stable")
        return cls(values[order], verdicts.fold[models[order]], verdicts.person[samples[order]])

    def right(self, sign: int) -> Floats:
        """Return [cells] 1 where the value has the sign, 1/2 where it is 0, and 0."""
        return 0.5 + 0.5 * np.sign(sign * self.values)


def _weights(members: _Cells, others: _Cells, draws: int, seed: int) -> Iterator[list[Floats]]:
    """Yield the weights [R, cells] of both sides in the number itself and in all draws, some draws at a time."""
    sides = (members, others)
    groups = [[np.unique(side[part]) for side in sides] for part in (1, 2)]
    if min(len(np.union1d(*of_sides)) for of_sides in groups) < FEWEST:
        draws = 0
    by_fold, by_person = (
        _counts(name, of_sides, draws, seed) for name, of_sides in zip(("fold", "person"), groups, strict=True)
    )
    width = max(1, CHUNK // max(len(side.values) for side in sides))
    for start in range(0, 1 + draws, width):
        part = slice(start, start + width)
        yield [by_fold[part, side.folds] * by_person[part, side.people] for side in sides]


def _counts(name: str, of_sides: list[Ints], draws: int, seed: int) -> Floats:
    """Return [1 + draws, largest number + 1] how often each number counts; both sides get some in every draw."""
    tasks = {str(side): [f"{name} {i}" for i in numbers] for side, numbers in enumerate(of_sides)}
    drawn = draw_groups(tasks, draws, seed)
    numbers = np.union1d(*of_sides)
    counts = np.zeros((1 + draws, numbers[-1] + 1))
    counts[:, numbers] = drawn.counts[[drawn.row[f"{name} {i}"] for i in numbers]].T
    return counts

"""Distance to gold: how differently a model answers from the models that never saw what is to be forgotten.

For a task and a score (samples.py): d = Wasserstein-1 distance between the model's scores and those of all gold seeds
pooled. D of a set = mean of d over its tasks and scores. The headline is the largest D of the three sets: their mean
would let one set pay for another. 0 means like gold; the unit is that of the scores, so no D exceeds 1. Derived numbers
(utility, p-values) have no part in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unlearn.metrics.bootstrap import FEWEST_GROUPS, FEWEST_SEEDS, Interval, draw_groups, draw_seeds, interval
from unlearn.metrics.comparison import comparable, same_groups, task_infos
from unlearn.metrics.logs import EvalLog
from unlearn.metrics.manifest import COMPARED, Role
from unlearn.metrics.samples import Score, sample_scores
from unlearn.metrics.scores import Floats
from unlearn.metrics.transport import Scored, transport

FORGET, MAX = Role.forget.value, "max"
SETS = (*(role.value for role in COMPARED), MAX)
"""The keys of a model's distances: the three sets, and the largest of them."""

TaskScore = tuple[str, Score]


@dataclass(frozen=True)
class Distances:
    """How far one model is from gold.

    sets       D by key of SETS: of each set that has tasks, and "max" where all three have; probes have no part in it
    scores     d of every task and score
    shifts     mean score of the model minus gold's: on a forget task + still knows, - over-forgotten
    tasks      D of every task: the mean of d over its scores
    tendency   mean of the shifts over a task's scores
    remaining  D forget as a part of base's; None where base's is not known to leave gold's spread
    within     by key of SETS: D is at most the largest of a gold; None where gold's spread is not known
    """

    sets: Mapping[str, Interval]
    scores: Mapping[TaskScore, Interval]
    shifts: Mapping[TaskScore, Interval]
    tasks: Mapping[str, Interval]
    tendency: Mapping[str, Interval]
    remaining: Interval | None
    within: Mapping[str, bool] | None


@dataclass(frozen=True)
class Comparison:
    """The distances of several models.

    models  by name
    golds   of each gold to the pool of the others; empty for a single gold
    band    the null band, by key of SETS: the largest D of a gold; None for fewer than three golds
    """

    models: Mapping[str, Distances]
    golds: Mapping[str, Distances]
    band: Mapping[str, float] | None


@dataclass(frozen=True)
class _Drawn:
    """Numbers as [1 + draws] values each, or [1] where there is no interval."""

    sets: Mapping[str, Floats]
    scores: Mapping[TaskScore, Floats]
    shifts: Mapping[TaskScore, Floats]


def compare(
    models: Mapping[str, EvalLog],
    golds: Mapping[str, EvalLog],
    base: str | None = None,
    draws: int = 2000,
    seed: int = 0,
    allow_incomplete: bool = False,
) -> Comparison:
    """Return the distances of `models` to the gold seeds `golds`, and of each gold to the others.

    base   which of `models` was to forget; without it `remaining` is None
    draws  of the bootstrap; 0: no intervals

    Intervals are 95% percentiles of a cluster bootstrap: people are drawn with all their rows, the same draw for every
    model and gold, and pooled golds too where there are at least three. A task of fewer than ten people, or whose
    people the logs name differently, has no interval, nor has a set with such a task. The percentiles of a distance
    near 0 lie above it, for a distance is never negative. Raises UserError where two logs cannot be compared.
    """
    assert golds, "a distance to gold needs a gold"
    assert not set(models) & set(golds), f"{set(models) & set(golds)} cannot be both, model and gold"
    logs = dict(zip([*models, *golds], comparable([*models.values(), *golds.values()], allow_incomplete), strict=True))
    sample = _Sample(logs, draws, seed)
    rows = {name: sample.distances(name, list(golds)) for name in models}
    others = {name: sample.distances(name, [g for g in golds if g != name]) for name in golds if len(golds) > 1}
    band = None
    if len(golds) >= FEWEST_SEEDS:
        sets = [row.sets for row in others.values()]
        band = {key: max(float(of_gold[key][0]) for of_gold in sets) for key in sets[0]}
    whole = None if base is None else _outside(rows[base], band)
    return Comparison(
        models={name: _finished(row, band, whole) for name, row in rows.items()},
        golds={name: _finished(row, None, None) for name, row in others.items()},
        band=band,
    )


class _Sample:
    """The scores of all logs and the draws of their people, made once for all distances."""

    def __init__(self, logs: Mapping[str, EvalLog], draws: int, seed: int) -> None:
        self.infos = task_infos(*logs.values())
        logs = {name: self._compared(log) for name, log in logs.items()}
        first = next(iter(logs.values())).tasks
        named_alike = [n for n in first if same_groups([log.tasks[n] for log in logs.values()])]
        self.drawn = {n: first[n].groups for n in named_alike if len(set(first[n].groups)) >= FEWEST_GROUPS}
        self.draws, self.seed = draws, seed
        self.groups = draw_groups(self.drawn, draws, seed)
        self.scored = {name: self._scored(log) for name, log in logs.items()}

    def _compared(self, log: EvalLog) -> EvalLog:
        """Return the log without holdout people: about them models and golds are equally ignorant."""
        return replace(log, tasks={n: task for n, task in log.tasks.items() if self.infos[n].role in COMPARED})

    def _scored(self, log: EvalLog) -> dict[TaskScore, Scored]:
        scored = {}
        for name, task in log.tasks.items():
            rows = [self.groups.row[group] for group in task.groups] if name in self.drawn else [0] * len(task.items)
            for score, values in sample_scores(task, self.infos[name]).items():
                scored[name, score] = Scored(values, np.array(rows))
        return scored

    def distances(self, name: str, golds: Sequence[str]) -> _Drawn:
        """Return the distances of the log `name` to the pool of `golds`."""
        scores, shifts = {}, {}
        seeds = draw_seeds(len(golds), self.draws, self.seed)
        for key, model in self.scored[name].items():
            counts = self.groups.counts if key[0] in self.drawn else np.ones((1, 1))
            pool = [self.scored[gold][key] for gold in golds]
            scores[key], shifts[key] = transport(model, pool, counts, seeds[:, : counts.shape[1]])
        return _Drawn(self._sets(scores), scores, shifts)

    def _sets(self, scores: Mapping[TaskScore, Floats]) -> dict[str, Floats]:
        """Return the mean over each role's tasks and scores, and where all roles have tasks their largest."""
        members = {role: [v for (n, _), v in scores.items() if self.infos[n].counts_as(role)] for role in COMPARED}
        sets = {role.value: np.mean(_cut(values), axis=0) for role, values in members.items() if values}
        return sets | {MAX: np.max(_cut(list(sets.values())), axis=0)} if len(sets) == len(COMPARED) else sets


def _cut(values: Sequence[Floats]) -> list[Floats]:
    """Return the numbers with their draws where all have them, else the numbers alone."""
    return [v[: min(map(len, values))] for v in values]


def _by_task(values: Mapping[TaskScore, Floats]) -> dict[str, Interval]:
    """Return the mean over every task's scores, which all have the same draws."""
    tasks = dict.fromkeys(name for name, _ in values)
    return {task: interval(np.mean([v for (name, _), v in values.items() if name == task], axis=0)) for task in tasks}


def _outside(base: _Drawn, band: Mapping[str, float] | None) -> Floats | None:
    """Return D forget of base, None where it is not known to leave gold's spread: a part of it would mean nothing."""
    whole = base.sets.get(FORGET)
    return whole if band is not None and whole is not None and whole[0] > band[FORGET] else None


def _finished(row: _Drawn, band: Mapping[str, float] | None, whole: Floats | None) -> Distances:
    part = None if whole is None else np.divide(*_cut([row.sets[FORGET], whole]))
    return Distances(
        sets={key: interval(values) for key, values in row.sets.items()},
        scores={key: interval(values) for key, values in row.scores.items()},
        shifts={key: interval(values) for key, values in row.shifts.items()},
        tasks=_by_task(row.scores),
        tendency=_by_task(row.shifts),
        remaining=None if part is None else interval(part),
        within=None if band is None else {key: bool(values[0] <= band[key]) for key, values in row.sets.items()},
    )

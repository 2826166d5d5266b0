"""The columns of a row of results."""

from collections.abc import Mapping
from statistics import fmean

import numpy as np

from unlearn.metrics import released
from unlearn.metrics.bootstrap import Interval
from unlearn.metrics.comparison import same_order, task_infos
from unlearn.metrics.distance import Distances
from unlearn.metrics.divergence import divergence
from unlearn.metrics.logs import EvalLog, TaskLog
from unlearn.metrics.manifest import Role, TaskInfo
from unlearn.metrics.routing import routing_columns
from unlearn.metrics.scores import probability
from unlearn.metrics.sets import TaskScores, model_utility, set_score, task_scores
from unlearn.metrics.statistics import KolmogorovSmirnov, harmonic_mean, ks_two_sample
from unlearn.metrics.table import Value

FORGET_QUALITY_TASKS = ("eval_log_forget.json", "forget_captions", "forget_qa")
"""Forget quality is that of the first of these that is to be forgotten: QA only where the captions stay."""

SET_COLUMNS = {"Real": Role.real, "Retain": Role.retain, "Forget": Role.forget}
DISTANCE_COLUMNS = {"D Forget": "forget", "D Retain": "retain", "D Real": "real", "D Max": "max"}

FURTHER_COLUMNS = {"Generation Entropy": "generation_entropy", "Repetition": "repetition"}
"""Means of a log's further numbers, one for every set of tasks."""
MEMORIZATION_COLUMNS = {"Exact Mem.": "exact_memorization", "Extr. Strength": "extraction_strength"}

COST_COLUMNS = {
    "Eval Wall Seconds": ("wall_seconds", 1),
    "Eval Peak Memory MiB": ("peak_memory_bytes", 2**20),
    "Eval Forwards": ("forwards", 1),
}

NO_INTERVAL = "n/a"


def distance_columns(
    distances: Distances, infos: Mapping[str, TaskInfo], band: Mapping[str, float] | None
) -> dict[str, Value]:
    """Return a model's distances to gold: of the sets, what remains, and of every task and score, with intervals.

    A shift is the signed mean difference model - gold: on a forget task + still knows, - over-forgotten. That of the
    forget set is the mean over its tasks and scores. Only where gold's spread is known (`band`) are there the columns
    with its edge, what remains of base's distance, and which sets are within gold's spread. Probes have no column.
    """
    row: dict[str, Value] = {}
    for column, key in DISTANCE_COLUMNS.items():
        row |= interval_columns(column, distances.sets.get(key))
        if band is not None:
            row[f"{column} Gold"] = band.get(key)
    shifts = [found.value for (name, _), found in distances.shifts.items() if infos[name].counts_as(Role.forget)]
    row["Shift Forget"] = fmean(shifts) if shifts else None
    if distances.remaining is not None:
        row |= interval_columns("Remaining", distances.remaining)
    if distances.within is not None:
        held = [key.capitalize() for key in DISTANCE_COLUMNS.values() if distances.within.get(key)]
        row["Within Gold's Spread"] = ", ".join(held) or "none"
    for (name, score), found in distances.scores.items():
        if infos[name].probe_of is None:
            row |= interval_columns(f"d {score.value} {infos[name].label}", found)
            row |= interval_columns(f"Shift {score.value} {infos[name].label}", distances.shifts[name, score])
    return row


def result_columns(model: EvalLog, gold: EvalLog) -> dict[str, Value]:
    """Return TOFU's columns for the tasks of two comparable logs, and what is said of the sets Real, Retain and Forget.

    A number that needs a task which was not evaluated is None. Probes have no column and no part in a set.
    """
    infos = task_infos(model, gold)
    tasks = {name: task_scores(task, infos[name]) for name, task in _counted(model, infos).items()}
    row = _task_columns(tasks, infos)
    for column, role in SET_COLUMNS.items():
        row[column] = set_score(scores for name, scores in tasks.items() if infos[name].role is role)
    row["Model Utility"] = model_utility(tasks)
    row |= _further_columns(model, infos)
    row |= routing_columns(model, infos)
    tests = {name: forget_test(model.tasks[name], gold.tasks[name]) for name in _forgotten(model, infos)}
    row["Forget Quality"] = next((tests[name].p_value for name in FORGET_QUALITY_TASKS if name in tests), None)
    for name, test in tests.items():
        row |= _test_columns(test, infos[name].label)
    return row


def released_columns(model: EvalLog, gold: EvalLog) -> dict[str, Value]:
    """Return the same columns as CLEAR's published code fills them, without the tests that it has not.

    Raises UserError for a log without answers generated blind, and for two logs whose items cannot be paired.
    """
    infos = task_infos(model, gold)
    released.check_blind(model, infos)
    tasks = {name: released.task_scores(task, infos[name]) for name, task in _counted(model, infos).items()}
    row = _task_columns(tasks, infos)
    for column, role in SET_COLUMNS.items():
        members = [scores for name, scores in tasks.items() if infos[name].role is role]
        row[column] = released.set_score(members, role)
    kept = [scores for name, scores in tasks.items() if infos[name].role in (Role.retain, Role.real)]
    row["Model Utility"] = harmonic_mean([n for scores in kept for n in scores.knows()]) if kept else None
    judged = [name for name in FORGET_QUALITY_TASKS if name in _forgotten(model, infos)]
    row["Forget Quality"] = released.forget_quality(*same_order(judged[0], model, gold)) if judged else None
    return row


def memorization_columns(log: EvalLog, infos: Mapping[str, TaskInfo]) -> dict[str, Value]:
    """Return how much of the training wording is left, per task, and probabilities of other wordings of its answers.

    Of the latter there are none in multiple choice, whose answers share one probability, and where a set lacks them.
    """
    row: dict[str, Value] = {}
    for name, task in _counted(log, infos).items():
        means = {column: task.further.get(key) for column, key in MEMORIZATION_COLUMNS.items()}
        if not infos[name].choice and task.wrong_losses is not None:
            # In a set without paraphrase the true answer stands in its place.
            other = None if np.array_equal(task.loss, task.paraphrase_loss) else probability(task.paraphrase_loss)
            wrong = np.array([probability(losses).mean() for losses in task.wrong_losses])
            means |= {"Prob. Paraphrase": other, "Prob. Perturbed": wrong}
        row |= {f"{c} {infos[name].label}": float(np.mean(v)) for c, v in means.items() if v is not None}
    return row


def divergence_columns(model: EvalLog, golds: Mapping[str, EvalLog], own: str | None = None) -> dict[str, Value]:
    """Return the Jensen-Shannon distance to gold on every forget task, each beside its value between gold seeds."""
    infos = task_infos(model, *golds.values())
    row: dict[str, Value] = {}
    for name in _forgotten(model, infos):
        found = divergence(model.tasks[name], {key: gold.tasks[name] for key, gold in golds.items()}, own)
        row[f"JS Distance {infos[name].label}"] = found.model
        row[f"JS Distance {infos[name].label} Gold"] = NO_INTERVAL if found.gold is None else found.gold
    return row


def cost_columns(log: EvalLog) -> dict[str, Value]:
    """Return what the model's evaluation cost, as far as its manifest says."""
    cost = log.manifest.cost if log.manifest is not None else {}
    known = {column: (cost.get(key), unit) for column, (key, unit) in COST_COLUMNS.items()}
    return {c: value if unit == 1 else value / unit for c, (value, unit) in known.items() if value is not None}


def forget_test(model: TaskLog, gold: TaskLog) -> KolmogorovSmirnov:
    """Return the Kolmogorov-Smirnov test of the truth ratios of a forget task's items, model [n] against gold [m].

    TOFU's forget quality (arXiv:2401.06121, section 2.2), on log R: ranks are those of R, and no exp overflows.
    """
    return ks_two_sample(model.log_ratio, gold.log_ratio)


def _counted(log: EvalLog, infos: Mapping[str, TaskInfo]) -> dict[str, TaskLog]:
    """Return the tasks that count in a set: no probe does."""
    return {name: task for name, task in log.tasks.items() if infos[name].probe_of is None}


def _forgotten(log: EvalLog, infos: Mapping[str, TaskInfo]) -> list[str]:
    """Return the forget tasks with wrong answers, without which there is no truth ratio to compare."""
    tasks = log.tasks.items()
    return [name for name, task in tasks if infos[name].counts_as(Role.forget) and task.wrong_losses is not None]


def interval_columns(column: str, found: Interval | None) -> dict[str, Value]:
    """Return a number and its interval's ends, "n/a" where there is no interval, None where there is no number."""
    if found is None:
        return {column: None, f"{column} Low": None, f"{column} High": None}
    ends = [NO_INTERVAL if end is None else end for end in (found.low, found.high)]
    return {column: found.value, f"{column} Low": ends[0], f"{column} High": ends[1]}


def _task_columns(tasks: Mapping[str, TaskScores], infos: Mapping[str, TaskInfo]) -> dict[str, Value]:
    row: dict[str, Value] = {}
    for name, scores in tasks.items():
        info = infos[name]
        row[f"ROUGE {info.label}"] = scores.rouge
        row[f"Prob. {info.label}"] = scores.probability
        ratio = scores.truth_ratio(info.role)
        row |= {} if ratio is None else {f"Truth Ratio {info.label}": ratio}
    return row


def _further_columns(log: EvalLog, infos: Mapping[str, TaskInfo]) -> dict[str, Value]:
    """Return the mean over a set's tasks of their items' mean, for every further number that the log has."""
    row: dict[str, Value] = {}
    for column, key in FURTHER_COLUMNS.items():
        for name, role in SET_COLUMNS.items():
            members = [task.further for task_name, task in log.tasks.items() if infos[task_name].counts_as(role)]
            means = [float(further[key].mean()) for further in members if key in further]
            row |= {f"{column} {name}": fmean(means)} if means else {}
    return row


def _test_columns(test: KolmogorovSmirnov, label: str) -> dict[str, Value]:
    return {
        f"KS Test {label}": test.statistic,
        f"KS Test PVal {label}": test.p_value,
        f"KS Test log10 PVal {label}": test.log10_p,
    }

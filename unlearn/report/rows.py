"""The row of a model: its distance to gold, TOFU's columns, accuracies, and what training and evaluation cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from unlearn.metrics.accuracy import choice_accuracy
from unlearn.metrics.aggregate import AggregateConfig, aggregate
from unlearn.metrics.bootstrap import Interval
from unlearn.metrics.distance import SETS, Comparison, Distances
from unlearn.metrics.manifest import Role, TaskInfo
from unlearn.metrics.table import Row, Value
from unlearn.report.runs import Kind, Model, training_cost

DISTANCES = {key: f"D {key.capitalize()}" for key in SETS}
"""Columns of the distances to gold, by their key in a comparison."""
SHIFT = "Shift Forget"
REMAINING = "Remaining"
WITHIN = "Within Gold's Spread"
LOW, HIGH = " Low", " High"
"""Endings of the columns with the ends of a column's interval; empty where fewer than ten people were asked."""


@dataclass(frozen=True)
class Entry:
    """A model and its row."""

    name: str
    kind: Kind
    row: Row


def entries_of(
    models: Sequence[Model], comparison: Comparison, infos: Mapping[str, TaskInfo], submitted_by: str
) -> list[Entry]:
    """Return the row of every model. TOFU's columns are against the first gold, distances against all of them."""
    gold = next(model for model in models if model.kind is Kind.gold)
    found = {**comparison.golds, **comparison.models}
    entries = []
    for model in models:
        distances = distance_columns(found[model.name], infos) if model.name in found else {}
        rest = {**_compared(model, gold, submitted_by), **_accuracies(model, infos), **training_cost(model.folder)}
        entries.append(Entry(model.name, model.kind, {"Method": model.name, **distances, **rest}))
    return entries


def distance_columns(distances: Distances, infos: Mapping[str, TaskInfo]) -> dict[str, Value]:
    """Return a model's distances to gold as columns: of the sets, what remains, and of every task and score.

    A shift is the signed mean difference model - gold: on a forget task + still knows, - over-forgotten. That of the
    forget set is the mean over its tasks and scores.
    """
    row: dict[str, Value] = {}
    for key, value in distances.sets.items():
        row |= _with_ends(DISTANCES[key], value)
    shifts = [shift.value for (task, _), shift in distances.shifts.items() if infos[task].role is Role.forget]
    row[SHIFT] = fmean(shifts) if shifts else None
    if distances.remaining is not None:
        row |= _with_ends(REMAINING, distances.remaining)
    if distances.within is not None:
        row[WITHIN] = _within(distances.within)
    for (task, score), value in distances.scores.items():
        row |= _with_ends(f"d {score.value} {infos[task].label}", value)
        row |= _with_ends(f"Shift {score.value} {infos[task].label}", distances.shifts[task, score])
    return row


def _with_ends(column: str, value: Interval) -> dict[str, Value]:
    return {column: value.value, f"{column}{LOW}": value.low, f"{column}{HIGH}": value.high}


def _within(sets: Mapping[str, bool]) -> str:
    """Return the sets on which a model cannot be told from a gold of another seed."""
    held = [key.capitalize() for key in SETS if sets.get(key)]
    return ", ".join(held) or "none"


def _compared(model: Model, gold: Model, submitted_by: str) -> Row:
    config = AggregateConfig(
        retain_result=str(gold.log_path),
        ckpt_result=str(model.log_path),
        method_name=model.name,
        submitted_by=submitted_by,
        save_file="table.csv",
    )
    return aggregate(config)


def _accuracies(model: Model, infos: Mapping[str, TaskInfo]) -> dict[str, Value]:
    """Return the share of right choices for every multiple-choice task."""
    chosen = [name for name in model.log.tasks if infos[name].choice]
    return {f"Accuracy {infos[name].label}": choice_accuracy(model.log.tasks[name]) for name in chosen}

"""The row of a model: its distance to gold, TOFU's columns, accuracies, and what training and evaluation cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unlearn.metrics.accuracy import choice_accuracy
from unlearn.metrics.aggregate import AggregateConfig, aggregate
from unlearn.metrics.manifest import TaskInfo
from unlearn.metrics.scores import Floats, choice_probability, log_truth_ratio, probability
from unlearn.metrics.table import Row, Value
from unlearn.report.runs import Kind, Model, training_cost

Samples = Mapping[str, Mapping[str, Mapping[str, Floats]]]
"""Per-sample scores in [0, 1] by model, task and score."""

DISTANCES = ("D Forget", "D Retain", "D Real", "D Max")
REMAINING = "Remaining"
WITHIN = "Within Gold's Spread"


@dataclass(frozen=True)
class Entry:
    """A model and its row."""

    name: str
    kind: Kind
    row: Row


def entries_of(models: Sequence[Model], gold: Model, infos: Mapping[str, TaskInfo], submitted_by: str) -> list[Entry]:
    """Return the row of every model against the first gold. Raises UserError where two evaluations do not compare."""
    return [Entry(model.name, model.kind, _row(model, gold, infos, submitted_by)) for model in models]


def _row(model: Model, gold: Model, infos: Mapping[str, TaskInfo], submitted_by: str) -> Row:
    compared = aggregate(
        AggregateConfig(
            retain_result=str(gold.log_path),
            ckpt_result=str(model.log_path),
            method_name=model.name,
            submitted_by=submitted_by,
            save_file="table.csv",
        )
    )
    return {**compared, **_accuracies(model, infos), **training_cost(model.folder)}


def _accuracies(model: Model, infos: Mapping[str, TaskInfo]) -> dict[str, Value]:
    """Return the share of right choices for every multiple-choice task."""
    chosen = [name for name in model.log.tasks if infos[name].choice]
    return {f"Accuracy {infos[name].label}": choice_accuracy(model.log.tasks[name]) for name in chosen}


def samples_of(models: Sequence[Model], infos: Mapping[str, TaskInfo]) -> Samples:
    """Return the per-sample scores of every model: probability, ROUGE-L recall and R / (1 + R)."""
    return {model.name: {name: _scores(model, name, infos[name]) for name in infos} for model in models}


def _scores(model: Model, name: str, info: TaskInfo) -> dict[str, Floats]:
    task = model.log.tasks[name]
    chosen = choice_probability(task.loss, task.wrong_losses) if info.choice else probability(task.loss)
    ratio = log_truth_ratio(task.paraphrase_loss, task.wrong_losses)
    return {"probability": chosen, "ROUGE-L recall": task.rouge, "truth ratio, R/(1+R)": 1 / (1 + np.exp(-ratio))}

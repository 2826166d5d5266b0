"""The row of a model: its distance to gold, TOFU's columns, accuracies, and what training and evaluation cost."""

from collections.abc import Callable
from dataclasses import dataclass

from unlearn.config.schema import Metrics
from unlearn.metrics.accuracy import choice_accuracy
from unlearn.metrics.columns import (
    cost_columns,
    distance_columns,
    divergence_columns,
    memorization_columns,
    released_columns,
    result_columns,
)
from unlearn.metrics.harness import harness_columns
from unlearn.metrics.logs import EvalLog
from unlearn.metrics.privacy import privacy_columns
from unlearn.metrics.table import Row, Value
from unlearn.report.runs import Kind, Model, training_cost
from unlearn.report.study import Study


@dataclass(frozen=True)
class Entry:
    """A model and its row."""

    name: str
    kind: Kind
    row: Row


def entries_of(study: Study, submitted_by: str) -> list[Entry]:
    """Return the row of every model of a study: all golds are the measure, TOFU's columns take the first of them."""
    entries = []
    for model, compared in zip(study.models, study.compared, strict=True):
        first = {"Method": model.name, "Submitted By": submitted_by, "Metrics": study.metrics.value}
        cost = {**cost_columns(model.log), **training_cost(model.folder)}
        results = COLUMNS[study.metrics](study, model, compared)
        utility = harness_columns(model.log)
        entries.append(Entry(model.name, model.kind, {**first, **results, **utility, **cost}))
    return entries


def _correct(study: Study, model: Model, compared: Model) -> dict[str, Value]:
    distances = study.distances(model)
    own = model.name if model.kind is Kind.gold and len(study.golds) > 1 else None
    golds = {gold.name: gold.log for gold in study.compared if gold.kind is Kind.gold}
    near = {} if distances is None else distance_columns(distances, study.infos, study.comparison.band)
    return {
        **near,
        **result_columns(model.log, study.golds[0].log),
        **_accuracies(study, model),
        **memorization_columns(model.log, study.infos),
        **privacy_columns(model.log, study.golds[0].log, study.infos, _reference(study, model)),
        **divergence_columns(compared.log, golds, own),
    }


def _reference(study: Study, model: Model) -> EvalLog | None:
    """Return the pretrained model's log, for which any item is as new as any other; it is none for itself."""
    return next((m.log for m in study.models if m.kind is Kind.pretrained and m is not model), None)


def _released(study: Study, model: Model, _: Model) -> dict[str, Value]:
    return released_columns(model.log, study.golds[0].log)


COLUMNS: dict[Metrics, Callable[[Study, Model, Model], dict[str, Value]]] = {
    Metrics.correct: _correct,
    Metrics.released: _released,
}


def _accuracies(study: Study, model: Model) -> dict[str, Value]:
    """Return the share of right choices for every multiple-choice task."""
    chosen = [name for name in model.log.tasks if study.infos[name].choice and study.infos[name].probe_of is None]
    return {f"Accuracy {study.infos[name].label}": choice_accuracy(model.log.tasks[name]) for name in chosen}

"""Whether evaluation logs may be compared: same splits, tasks, versions and items."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import chain, combinations
from typing import Any

from unlearn.errors import UserError, unknown
from unlearn.metrics.logs import EvalLog, TaskLog
from unlearn.metrics.manifest import FOREIGN_TASKS, Manifest, TaskInfo

FRAME = {
    "forget_split": "forget_split",
    "retain_split": "retain_split",
    "forget_modality": "forget_modality",
    "metrics_version": "metrics_version",
    "metrics": "metrics",
    "seed": "data.question_seed",
}
"""What logs must have in common beside their tasks, and what it is called."""


def comparable(logs: Sequence[EvalLog], allow_incomplete: bool = False) -> list[EvalLog]:
    """Return the logs as they may be compared: as they are, or with `allow_incomplete` on the items that all have.

    Raises UserError for an incomplete log, and for the first two that differ in splits, tasks, versions or items, with
    all that they differ in.
    """
    if not allow_incomplete:
        for log in logs:
            _refuse_incomplete(log)
    for model, gold in combinations(logs, 2):
        _refuse(model, gold, _differences(model, gold), "Evaluate both models with the same tasks and splits.")
    if allow_incomplete:
        logs = [reduce(_on_common_items, logs, log) for log in logs]
    for model, gold in combinations(logs, 2):
        differences = (_item_differences(name, model.tasks[name], gold.tasks[name]) for name in model.tasks)
        _refuse(model, gold, chain.from_iterable(differences), "Evaluate both models on the same data.")
    return list(logs)


def _refuse(model: EvalLog, gold: EvalLog, problems: Iterable[str], advice: str) -> None:
    text = "; ".join(problems)
    if text:
        raise UserError(f"{model.path} and {gold.path} cannot be compared: {text}. {advice}")


def task_infos(*logs: EvalLog) -> Mapping[str, TaskInfo]:
    """Return what is known of comparable logs' tasks, from any manifest or, for foreign logs, by the tasks' names."""
    for log in logs:
        if log.manifest is not None:
            return log.manifest.tasks
    for name in logs[0].tasks:
        if name not in FOREIGN_TASKS:
            raise unknown(f"task (in {logs[0].path}, which has no manifest)", name, list(FOREIGN_TASKS))
    return FOREIGN_TASKS


def same_groups(tasks: Sequence[TaskLog]) -> bool:
    """Tell whether all logs of a task name the same people, with as many items each."""
    first, *others = (Counter(task.groups) for task in tasks)
    return all(other == first for other in others)


def same_order(name: str, model: EvalLog, gold: EvalLog) -> tuple[TaskLog, TaskLog]:
    """Return a task of two comparable logs, its items in one order. Raises UserError where they cannot be paired."""
    tasks = (model.tasks[name], gold.tasks[name])
    if set(tasks[0].items) != set(tasks[1].items):
        raise UserError(
            f"{model.path} names the items of task {name} by uid and {gold.path} by number or the other way round, so "
            "they cannot be paired, as this metric needs; evaluate both models with one tool."
        )
    return tasks[0].ordered(), tasks[1].ordered()


def incomplete(log: EvalLog) -> list[str]:
    """Return "task scored/expected" for every task of which not all items were scored."""
    tasks = log.manifest.tasks if log.manifest is not None else {}
    return [f"{name} {t.scored}/{t.expected}" for name, t in tasks.items() if t.scored != t.expected]


def _refuse_incomplete(log: EvalLog) -> None:
    if incomplete(log):
        raise UserError(
            f"{log.path} is incomplete ({', '.join(incomplete(log))} items); finish the evaluation, or set "
            "allow_incomplete=true to compare the items that were scored."
        )


def _differences(model: EvalLog, gold: EvalLog) -> Iterator[str]:
    """Yield what differs between two logs, items aside."""
    if set(model.tasks) != set(gold.tasks):
        differing = sorted(set(model.tasks) ^ set(gold.tasks))
        yield f"only one of them has the tasks {', '.join(differing)}"
    if model.manifest is not None and gold.manifest is not None:
        yield from _manifest_differences(model.manifest, gold.manifest)


def _manifest_differences(model: Manifest, gold: Manifest) -> Iterator[str]:
    for key, called in FRAME.items():
        if getattr(model, key) != getattr(gold, key):
            yield f"{called} is {_shown(getattr(model, key))} and {_shown(getattr(gold, key))}"
    yield from _stress_differences(model.stress or {}, gold.stress or {})
    for name in sorted(set(model.tasks) & set(gold.tasks)):
        a, b = model.tasks[name], gold.tasks[name]
        for key in ("version", "role", "choice", "modality", "label", "probe_of", "members"):
            if getattr(a, key) != getattr(b, key):
                yield f"{key} of task {name} is {_shown(getattr(a, key))} and {_shown(getattr(b, key))}"
        if a.rows is not None and b.rows is not None and a.rows.fingerprint != b.rows.fingerprint:
            places = " and ".join(f"{rows.config} of {rows.path}" for rows in (a.rows, b.rows))
            yield f"the rows of task {name} ({places}) have different contents"
        elif a.fingerprint != b.fingerprint:
            yield f"the items of task {name} are asked differently"


def _stress_differences(model: Mapping[str, Any], gold: Mapping[str, Any]) -> Iterator[str]:
    names = [stress.get("name", "none") for stress in (model, gold)]
    if names[0] != names[1]:
        yield f"stress is {names[0]} and {names[1]}"
        return
    for key in sorted({*model, *gold}):
        if model.get(key) != gold.get(key):
            yield f"{key} of stress {names[0]} is {model.get(key)} and {gold.get(key)}"


def _shown(value: object) -> object:
    return getattr(value, "value", value)


def _item_differences(name: str, model: TaskLog, gold: TaskLog) -> Iterator[str]:
    """Yield what differs between a task's items: by uid where both logs have it, else by number and true answer."""
    if len(model.items) != len(gold.items):
        yield f"task {name} has {len(model.items)} and {len(gold.items)} items"
    elif not len(model.items):
        yield f"task {name} has no item in common"
    elif model.by_uid and gold.by_uid:
        strangers = set(model.items) - set(gold.items)
        if strangers:
            yield f"task {name} has {len(strangers)} items that the other lacks, e.g. {min(strangers)}"
    elif model.by_uid == gold.by_uid and set(model.items) != set(gold.items):
        yield f"task {name} numbers its items differently"
    elif model.truths is not None and gold.truths is not None and sorted(model.truths) != sorted(gold.truths):
        yield f"task {name} has other true answers"


def _on_common_items(log: EvalLog, other: EvalLog) -> EvalLog:
    """Return `log` on the items that `other` has too. Items without uid cannot be matched and stay."""
    tasks = {
        name: task.only(set(other.tasks[name].items)) if task.by_uid and other.tasks[name].by_uid else task
        for name, task in log.tasks.items()
    }
    return replace(log, tasks=tasks)

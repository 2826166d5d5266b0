"""Whether two evaluation logs may be compared: same splits, tasks, versions and items."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from unlearn.errors import UserError, unknown
from unlearn.metrics.logs import EvalLog, TaskLog
from unlearn.metrics.manifest import FOREIGN_TASKS, Manifest, TaskInfo

SPLITS = ("forget_split", "retain_split", "forget_modality", "metrics_version")


def comparable(model: EvalLog, gold: EvalLog, allow_incomplete: bool) -> tuple[EvalLog, EvalLog]:
    """Return both logs as they may be compared: as they are, or with `allow_incomplete` on the items that both have.

    Raises UserError for an incomplete log, and with every difference of splits, tasks, versions and items.
    """
    if not allow_incomplete:
        for log in (model, gold):
            _refuse_incomplete(log)
    problems = list(_differences(model, gold))
    if problems:
        raise UserError(
            f"{model.path} and {gold.path} cannot be compared: {'; '.join(problems)}. "
            "Evaluate both models with the same tasks and splits."
        )
    if allow_incomplete:
        model, gold = _on_common_items(model, gold), _on_common_items(gold, model)
    problems = [text for name in model.tasks for text in _item_differences(name, model.tasks[name], gold.tasks[name])]
    if problems:
        raise UserError(
            f"{model.path} and {gold.path} cannot be compared: {'; '.join(problems)}. "
            "Evaluate both models on the same data."
        )
    return model, gold


def task_infos(model: EvalLog, gold: EvalLog) -> Mapping[str, TaskInfo]:
    """Return what is known of the logs' tasks, from either manifest or, for two foreign logs, by the tasks' names."""
    for log in (model, gold):
        if log.manifest is not None:
            return log.manifest.tasks
    for name in model.tasks:
        if name not in FOREIGN_TASKS:
            raise unknown(f"task (in {model.path}, which has no manifest)", name, list(FOREIGN_TASKS))
    return FOREIGN_TASKS


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
    for key in SPLITS:
        if getattr(model, key) != getattr(gold, key):
            yield f"{key} is {getattr(model, key)} and {getattr(gold, key)}"
    for name in sorted(set(model.tasks) & set(gold.tasks)):
        a, b = model.tasks[name], gold.tasks[name]
        for key in ("version", "role", "choice", "label"):
            if getattr(a, key) != getattr(b, key):
                yield f"{key} of task {name} is {_shown(getattr(a, key))} and {_shown(getattr(b, key))}"
        # The fingerprint covers the questions, whose wordings follow the seed: only under one seed must it agree.
        if model.seed == gold.seed and None not in (a.fingerprint, b.fingerprint) and a.fingerprint != b.fingerprint:
            yield f"the items of task {name} have different contents"


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

"""The manifest beside an evaluation log: what was evaluated, on which splits, how completely and at what cost."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from unlearn.config.schema import Metrics, Modality
from unlearn.errors import UserError, unknown

MANIFEST = "manifest.json"
FORMAT = 2
"""Raised when the layout of the log or its manifest changes."""
METRICS_VERSION = 1
"""Raised when a number in a log changes its meaning; logs of different versions are not compared."""


class Role(Enum):
    """What a set measures: what must go, what must stay, what was never touched, or whom no model ever trained on."""

    forget = "forget"
    retain = "retain"
    real = "real"
    holdout = "holdout"


COMPARED = (Role.forget, Role.retain, Role.real)
"""Roles whose tasks are compared with gold and make up the means of sets. Holdout people are there for those of a
forget task to be told from."""


@dataclass(frozen=True)
class TaskInfo:
    """What must be known of a task to read its scores.

    label             how tables call it
    choice            multiple choice: the probability is taken among the options
    modality          image: asked about a picture; text: in words alone
    expected, scored  numbers of items; None in a foreign log, which does not say
    fingerprint       hash of the items, questions included
    probe_of          the task that this one asks in another way; None for a task that counts in the numbers of its set
    members           of a holdout task: the forget task with the same questions about people who were trained on
    """

    label: str
    role: Role
    choice: bool
    modality: Modality = Modality.text
    version: int = 1
    expected: int | None = None
    scored: int | None = None
    fingerprint: str | None = None
    probe_of: str | None = None
    members: str | None = None

    def counts_as(self, role: Role) -> bool:
        """Tell whether the task has a part in the numbers of a role's set."""
        return self.role is role and self.probe_of is None


FOREIGN_TASKS: dict[str, TaskInfo] = {
    "eval_real_author_wo_options.json": TaskInfo("Real Authors", Role.real, choice=True),
    "eval_real_world_wo_options.json": TaskInfo("Real World", Role.real, choice=True),
    "eval_log.json": TaskInfo("Retain", Role.retain, choice=False),
    "eval_log_forget.json": TaskInfo("Forget", Role.forget, choice=False),
    "real_faces": TaskInfo("Real Faces", Role.real, choice=True, modality=Modality.image),
    "real_world": TaskInfo("Real World", Role.real, choice=True, modality=Modality.image),
    "retain_captions": TaskInfo("Retain Captions", Role.retain, choice=False, modality=Modality.image),
    "retain_names": TaskInfo("Retain Names", Role.retain, choice=True, modality=Modality.image),
    "retain_qa": TaskInfo("Retain QA", Role.retain, choice=False),
    "forget_captions": TaskInfo("Forget Captions", Role.forget, choice=False, modality=Modality.image),
    "forget_names": TaskInfo("Forget Names", Role.forget, choice=True, modality=Modality.image),
    "forget_qa": TaskInfo("Forget QA", Role.forget, choice=False),
}
"""Tasks that are understood without a manifest: TOFU's four and the eight multimodal ones."""


@dataclass(frozen=True)
class Manifest:
    """Provenance of one evaluation.

    metrics  released: every item was also answered without its picture
    cost     wall_seconds, peak_memory_bytes and forwards, as far as measured
    """

    forget_split: str
    retain_split: str
    forget_modality: str
    metrics_version: int
    metrics: Metrics
    tasks: Mapping[str, TaskInfo]
    seed: int | None
    cost: Mapping[str, float | None]


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`; raise UserError where it is absent, cut off or something else."""
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "absent"
        raise UserError(f"{path} is {kind}; give the eval_log_aggregated.json that an evaluation wrote.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not complete JSON ({error}); it may be truncated, so evaluate again.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give a log that can be read.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}; an evaluation writes a JSON object.")
    return content


def read_manifest(path: Path) -> Manifest | None:
    """Return the manifest in `path`, None where there is none (the log is foreign then).

    Raises UserError for a manifest that is cut off, lacks a key or is of another format or version of the metrics.
    """
    if not path.exists():
        return None
    content = read_json(path)
    for key, current in (("format", FORMAT), ("metrics_version", METRICS_VERSION)):
        given = _value(content, key, int, path)
        if given != current:
            raise UserError(f"{path} has {key} {given} but this version reads {current}; evaluate again with it.")
    splits = {key: _value(content, key, str, path) for key in ("forget_split", "retain_split", "forget_modality")}
    tasks = _value(content, "tasks", dict, path)
    return Manifest(
        **splits,
        metrics_version=content["metrics_version"],
        metrics=_member(content, "metrics", Metrics, path),
        tasks={name: _task_info(task, path, name) for name, task in tasks.items()},
        seed=content.get("seed"),
        cost=_cost(content, path),
    )


def _cost(content: Mapping[str, Any], path: Path) -> dict[str, float | None]:
    cost = _value(content, "cost", dict, path) if content.get("cost") is not None else {}
    for key in cost:
        _value(cost, key, int | float | None, f"{path}, cost")
    return cost


def _task_info(task: Any, path: Path, name: str) -> TaskInfo:
    where = f'{path}, task "{name}"'
    if not isinstance(task, dict):
        raise UserError(f"{where} holds a {type(task).__name__}; a task is a JSON object.")
    return TaskInfo(
        label=_value(task, "label", str, where),
        role=_member(task, "role", Role, where),
        choice=_value(task, "choice", bool, where),
        modality=_member(task, "modality", Modality, where),
        version=_value(task, "version", int, where),
        expected=_value(task, "expected", int, where),
        scored=_value(task, "scored", int, where),
        fingerprint=task.get("fingerprint"),
        probe_of=task.get("probe_of"),
        members=task.get("members"),
    )


def _member(content: Mapping[str, Any], key: str, kind: type[Enum], where: object) -> Any:
    name = _value(content, key, str, where)
    if name not in kind.__members__:
        raise unknown(f"{key} in {where}:", name, list(kind.__members__))
    return kind[name]


def _value(content: Mapping[str, Any], key: str, kind: Any, where: object) -> Any:
    if key not in content:
        raise UserError(f'{where} has no "{key}"; it may be truncated or written by another tool, so evaluate again.')
    if not isinstance(content[key], kind) or (kind is int and isinstance(content[key], bool)):
        raise UserError(
            f'{where} has {content[key]!r} as "{key}", which must be of type {getattr(kind, "__name__", kind)}.'
        )
    return content[key]

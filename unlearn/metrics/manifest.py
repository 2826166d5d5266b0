"""The manifest beside an evaluation log: what was evaluated, on which splits, how completely and at what cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from unlearn.config.schema import Metrics, Modality
from unlearn.errors import UserError
from unlearn.metrics.content import member_of, read_json, strings_of, value_of
from unlearn.metrics.provenance import Provenance, read_provenance

MANIFEST = "manifest.json"
FORMAT = 3
"""Raised when the layout of the log or its manifest changes."""
METRICS_VERSION = 1
"""Raised when a number in a log changes its meaning; logs of different versions are not compared."""


@dataclass(frozen=True)
class Rows:
    """The rows of a task: data set (Hub id or folder), config and hash of the content."""

    path: str
    config: str
    fingerprint: str


def results_folder(stress: str | None = None) -> str:
    """Return the name of the folder in a run's that holds its evaluation, under a stress or (None) without."""
    return "eval_results" if stress is None else f"eval_results_{stress}"


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
    rows              what the items were made from
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
    rows: Rows | None = None
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
    """What one evaluation was of.

    seed     of the questions' wordings
    metrics  released: every item was also answered without its picture
    stress   all that decides what was done to the model before, its name among it; None: nothing
    cost     wall_seconds, peak_memory_bytes and forwards, as far as measured
    """

    forget_split: str
    retain_split: str
    forget_modality: str
    metrics_version: int
    metrics: Metrics
    tasks: Mapping[str, TaskInfo]
    seed: int
    cost: Mapping[str, float | None]
    provenance: Provenance
    stress: Mapping[str, Any] | None = None


def read_manifest(path: Path) -> Manifest | None:
    """Return the manifest in `path`, None where there is none (the log is foreign then).

    Raises UserError for a manifest that is cut off, lacks a key or is of another format or version of the metrics.
    """
    if not path.exists():
        return None
    content = read_json(path)
    for key, current in (("format", FORMAT), ("metrics_version", METRICS_VERSION)):
        given = value_of(content, key, int, path)
        if given != current:
            raise UserError(f"{path} has {key} {given} but this version reads {current}; evaluate again with it.")
    splits = {key: value_of(content, key, str, path) for key in ("forget_split", "retain_split", "forget_modality")}
    tasks = value_of(content, "tasks", dict, path)
    return Manifest(
        **splits,
        metrics_version=content["metrics_version"],
        metrics=member_of(content, "metrics", Metrics, path),
        tasks={name: _task_info(task, path, name) for name, task in tasks.items()},
        seed=value_of(content, "seed", int, path),
        cost=_cost(content, path),
        provenance=read_provenance(value_of(content, "provenance", dict, path), f"{path}, provenance"),
        stress=value_of(content, "stress", dict | None, path) if "stress" in content else None,
    )


def _cost(content: Mapping[str, Any], path: Path) -> dict[str, float | None]:
    cost = value_of(content, "cost", dict, path) if content.get("cost") is not None else {}
    for key in cost:
        value_of(cost, key, int | float | None, f"{path}, cost")
    return cost


def _task_info(task: Any, path: Path, name: str) -> TaskInfo:
    where = f'{path}, task "{name}"'
    if not isinstance(task, dict):
        raise UserError(f"{where} holds a {type(task).__name__}; a task is a JSON object.")
    return TaskInfo(
        label=value_of(task, "label", str, where),
        role=member_of(task, "role", Role, where),
        choice=value_of(task, "choice", bool, where),
        modality=member_of(task, "modality", Modality, where),
        version=value_of(task, "version", int, where),
        expected=value_of(task, "expected", int, where),
        scored=value_of(task, "scored", int, where),
        fingerprint=value_of(task, "fingerprint", str, where),
        rows=strings_of(Rows, task, "rows", where),
        probe_of=task.get("probe_of"),
        members=task.get("members"),
    )

"""What an evaluation will compute, known before any weight is read: items, fixed batches, fingerprints."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unlearn import fingerprint
from unlearn.config.schema import Data, Metrics, Modality, ModelFamily
from unlearn.errors import UserError
from unlearn.evaluation.items import Item, build_items, check_images
from unlearn.evaluation.parts import BatchKey, Parts
from unlearn.evaluation.stressed import Stressed
from unlearn.evaluation.tasks import Source, Task, attacked, role_under
from unlearn.metrics.manifest import FORMAT, MANIFEST, METRICS_VERSION, Role, results_folder
from unlearn.models.loading import resolve
from unlearn.provenance import lineage, of_family

AGGREGATED = "eval_log_aggregated.json"


@dataclass
class Settings:
    """One evaluation of one model.

    model_path    checkpoint folder; None: the family's pretrained model
    batch_size    items (not answers) a batch
    max_length    the most tokens that a prompt with its answer may have
    metrics       released: every item is also answered without its picture
    gradient_norm whether items of tasks that membership attacks tell apart also get the norm of their gradient
    stress        what is done to the model before; None: nothing
    """

    tasks: list[Task]
    data: Data
    model_family: ModelFamily
    model_path: str | None
    forget_split: str
    retain_split: str
    forget_modality: Modality
    seed: int
    batch_size: int
    max_length: int
    metrics: Metrics = Metrics.correct
    gradient_norm: bool = False
    stress: Stressed | None = None

    def model(self) -> str:
        """Return the folder or Hub id that is evaluated."""
        return self.model_path or self.model_family.hub_id

    def with_gradient(self) -> set[str]:
        """Return the names of the tasks whose items get the norm of their gradient."""
        return attacked(self.tasks, self.forget_modality) if self.gradient_norm else set()


@dataclass
class Plan:
    """Items and batches of an evaluation, and the folder `out` that receives its results.

    lineage  of the model (unlearn/provenance.py)
    """

    settings: Settings
    out: Path
    items: dict[str, list[Item]]
    batches: dict[BatchKey, list[Item]]
    fingerprint: str
    task_fingerprints: dict[str, str]
    lineage: list[dict[str, Any]]
    overwrite: bool

    @property
    def parts(self) -> Parts:
        """The finished batches on disk."""
        return Parts(self.out / "parts", self.fingerprint)

    def finished(self) -> dict[str, Any] | None:
        """Return the manifest where `out` already holds exactly these results, complete; else None."""
        manifest = read_manifest(self.out)
        if manifest is None or manifest.get("fingerprint") != self.fingerprint:
            return None
        whole = (self.out / AGGREGATED).is_file() and all(
            _lines(self.out / f"{name}.jsonl") == len(items) for name, items in self.items.items()
        )
        return manifest if whole else None

    def check_out(self) -> None:
        """Raise UserError where `out` holds other results and they are not to be overwritten."""
        if self.overwrite:
            return
        manifest = read_manifest(self.out)
        if manifest is not None and manifest.get("fingerprint") != self.fingerprint:
            raise UserError(
                f"{self.out} already holds results of another model, other data or settings (fingerprint "
                f"{manifest.get('fingerprint')}, now {self.fingerprint}); replace them with overwrite_dir=true, "
                f"or write to another folder."
            )
        self.parts.check()


def plan_evaluation(settings: Settings, out: Path | None = None, overwrite: bool = False) -> Plan:
    """Load the items, check the results folder (see `default_out`) and return what is to be computed.

    No weight is loaded. Raises UserError for a bad checkpoint, bad data (an image that does not decode among it), norms
    of gradients that no attack would read, and for a folder that holds other results.
    """
    if settings.gradient_norm and not settings.with_gradient():
        raise UserError(
            "gradient_norm is true, but no task of people to be forgotten is evaluated together with its holdout task; "
            "add both to tasks, e.g. forget_qa and holdout_qa, or leave gradient_norm out."
        )
    out = out or default_out(settings)
    items = _items(settings)
    check_images(items)
    tasks = {t.name: _of_task(t, items[t.name]) for t in settings.tasks}
    folders = resolve(settings.model_family, settings.model_path).newest_first()
    model = fingerprint.of_model(folders)
    whole = _fingerprint(settings, tasks, model)
    batches = make_batches(items, settings.batch_size)
    plan = Plan(settings, out, items, batches, whole, tasks, lineage(folders, model), overwrite)
    plan.check_out()
    return plan


def _items(settings: Settings) -> dict[str, list[Item]]:
    """Return the items of each task, without those of the forget set that a stress shows to the model."""
    tasks = settings.tasks
    items = {t.name: build_items(t, settings.data, settings.forget_split, settings.seed) for t in tasks}
    if settings.stress is None:
        return items
    forgotten = {t.name: items[t.name] for t in tasks if role_under(t, settings.forget_modality) is Role.forget}
    return items | settings.stress.unseen(forgotten)


def _fingerprint(settings: Settings, tasks: dict[str, str], model: str) -> str:
    """Return the fingerprint of everything that decides the result files."""
    roles = [role_under(task, settings.forget_modality).value for task in settings.tasks]
    frame = [settings.forget_split, settings.retain_split, settings.forget_modality.value, settings.seed]
    stress = None if settings.stress is None else settings.stress.facts
    frame += [settings.metrics.value, settings.gradient_norm, stress]
    numbers = [FORMAT, METRICS_VERSION, settings.batch_size, settings.max_length]
    family = of_family(settings.model_family)["fingerprint"]
    return fingerprint.of_json([frame, numbers, tasks, roles, model, family])


def _of_task(task: Task, items: Sequence[Item]) -> str:
    """Return the fingerprint of what a task asks: equal for every model that was asked the same items."""
    return fingerprint.of_json(
        [task.name, task.version, task.choice, task.max_new_tokens, [item.digest() for item in items]]
    )


def of_rows(task: Task, data: Data, forget_split: str, items: Sequence[Item]) -> dict[str, str]:
    """Return where a task's rows come from, and their fingerprint: a wording drawn for a question is no data."""
    asked = task.question_column is not None
    rows = [replace(item, question=item.question if asked else "").digest() for item in items]
    path = data.path if task.source is Source.images else data.text_path
    return {
        "path": path,
        "config": task.config_under(forget_split),
        "fingerprint": fingerprint.of_json(rows),
    }


def default_out(settings: Settings) -> Path:
    """Return <model_path>/eval_results, under a stress eval_results_<its name>.

    The pretrained model has no run folder, so there `out` must be given.
    """
    if settings.model_path is None:
        raise UserError(
            f"save_dir is null for the pretrained {settings.model_family.name}, whose folder is not a run's; "
            f"set the folder that is to receive its results."
        )
    return Path(settings.model_path) / results_folder(None if settings.stress is None else settings.stress.name)


def make_batches(items: dict[str, list[Item]], batch_size: int) -> dict[BatchKey, list[Item]]:
    """Return the batches of every task: neighbours in length stand together, the longest first.

    The composition depends on the items alone, never on the number of processes or on what is already done: the
    numbers of an item may differ in the last digit with its neighbours in the batch. Longest first, so that what does
    not fit into memory fails at once.
    """
    batches = {}
    for name, members in items.items():
        ordered = sorted(members, key=lambda item: (-_length(item), item.uid))
        for index, start in enumerate(range(0, len(ordered), batch_size)):
            batches[(name, index)] = ordered[start : start + batch_size]
    return batches


def read_manifest(out: Path) -> dict[str, Any] | None:
    """Return the manifest of a results folder, None where there is none, empty where it is not readable."""
    try:
        return json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except json.JSONDecodeError:
        return {}


def _length(item: Item) -> int:
    """Return the characters of the item's longest row."""
    return len(item.question) + max(map(len, item.answers()))


def _lines(path: Path) -> int:
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file)


def assigned(keys: Sequence[BatchKey], rank: int, processes: int) -> list[BatchKey]:
    """Return the batches of one process: every `processes`-th, so that long and short ones are spread evenly."""
    return list(keys[rank::processes])

"""General utility: tasks of lm-evaluation-harness, run on the model that the suite has in memory.

The harness (Gao et al., doi:10.5281/zenodo.12608602) is an optional package, `pip install -e ".[lm-eval]"`. Prompts are
what its tasks say, without a chat template, as in most published tables. Its results lie beside the evaluation's own.
"""

import copy
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from unlearn import fingerprint
from unlearn.config.scripts import Harness
from unlearn.errors import UserError, nearest
from unlearn.evaluation.plan import Plan
from unlearn.evaluation.stressed import Stressed
from unlearn.files import write_json
from unlearn.metrics.harness import FORMAT, UTILITY
from unlearn.models.encoder import Encoder
from unlearn.processes import process_state

if TYPE_CHECKING:
    from lm_eval.api.group import Group
    from lm_eval.api.task import Task

log = logging.getLogger(__name__)

PACKAGE = "lm_eval"


@dataclass(frozen=True)
class Utility:
    """What the harness is asked about one model.

    settings  all that decides its results but the model; empty where nothing is asked
    tasks     tasks and groups with their data, where they are still to be run
    """

    asked: Harness
    path: Path
    model: Mapping[str, str]
    settings: Mapping[str, Any]
    tasks: "Sequence[Task | Group]"

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint of everything that decides the results."""
        return fingerprint.of_json([FORMAT, self.model["fingerprint"], self.settings])

    def finished(self) -> bool:
        """Tell whether nothing is asked, or the file holds these very results."""
        return not self.settings or _fingerprint_in(self.path) == self.fingerprint


def plan_utility(asked: Harness, plan: Plan) -> Utility:
    """Return what the harness is to do beside the evaluation `plan`; its tasks' data are loaded, and no weight.

    Raises UserError where the package is missing, a task or its data cannot be had, several processes were launched, or
    the results folder holds what the harness said of something else.
    """
    model = {key: plan.lineage[0][key] for key in ("path", "fingerprint")}
    path = plan.out / UTILITY
    if not asked.tasks:
        return Utility(asked, path, model, {}, ())
    _check_possible(asked)
    utility = Utility(asked, path, model, _settings(asked, plan.settings.stress), ())
    if utility.finished():
        return utility
    if path.exists() and not plan.overwrite:
        raise UserError(
            f"{path} holds results of another model or of other eval.* keys (fingerprint {_fingerprint_in(path)}, now "
            f"{utility.fingerprint}); replace them with overwrite_dir=true, or write to another folder."
        )
    return Utility(asked, path, model, utility.settings, load_tasks(asked))


def measure_utility(utility: Utility, model: nn.Module, encoder: Encoder) -> None:
    """Run what is not finished on `model`, which is on the device where it is to run, and write the results."""
    if utility.finished():
        return
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    # The harness sets a pad token of its own; the tokenizer of the encoder stays as it is.
    runner = HFLM(pretrained=model, tokenizer=copy.deepcopy(encoder.tokenizer), batch_size=utility.asked.batch_size)
    results = simple_evaluate(
        model=runner,
        tasks=list(utility.tasks),
        num_fewshot=utility.asked.num_fewshot,
        limit=utility.asked.limit,
        log_samples=False,
    )
    content = {
        "format": FORMAT,
        "fingerprint": utility.fingerprint,
        "model": dict(utility.model),
        "settings": dict(utility.settings),
        "tasks": measured(results),
    }
    utility.path.parent.mkdir(parents=True, exist_ok=True)
    write_json(utility.path, content)
    log.info("general utility in %s", utility.path)


def measured(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return version, number of items and metrics of every task and group in the harness's own results."""
    members = {name for children in results["group_subtasks"].values() for name in children}
    return {
        name: {
            "version": results["versions"].get(name),
            "n": row["sample_len"],
            "num_fewshot": results["n-shot"].get(name),
            "of_group": name in members,
            "metrics": _metrics(row),
        }
        for name, row in results["results"].items()
    }


def _metrics(row: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """Return value and standard error by metric; the keys are "acc,none" and "acc_stderr,none", the filter last."""
    found = {}
    for key, value in row.items():
        metric, comma, kind = key.partition(",")
        if comma and not metric.endswith("_stderr"):
            name = metric if kind == "none" else f"{metric} ({kind})"
            found[name] = {"value": _number(value), "stderr": _number(row.get(f"{metric}_stderr,{kind}"))}
    return found


def _number(value: Any) -> float | None:
    """Return a finite number or None: the perplexity of a broken model overflows, some errors are the text "N/A"."""
    known = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if known else None


def load_tasks(asked: Harness) -> "list[Task | Group]":
    """Return what is asked for, with its data. Raises UserError where it is unknown or cannot be had."""
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=asked.include_path, include_defaults=False)
    if not set(asked.tasks) <= set(manager.all_tasks):
        # To look through the harness's own 14,000 tasks takes half a minute.
        manager = TaskManager(include_path=asked.include_path)
    for name in asked.tasks:
        if name not in manager.all_tasks:
            raise UserError(
                f'Unknown eval.tasks "{name}"; allowed are the tasks of lm-eval (`lm_eval ls tasks` lists them) and '
                f"those in eval.include_path.{nearest(name, manager.all_tasks)}"
            )
    try:
        loaded = manager.load(list(asked.tasks))
    except (OSError, ValueError) as error:
        raise UserError(
            f"eval.tasks={asked.tasks} cannot be loaded ({str(error).strip().splitlines()[0]}); connect to the Hub, or "
            f"name tasks whose data are on this machine."
        ) from error
    every = {**loaded["tasks"], **loaded["groups"]}
    members = {name for children in loaded["group_map"].values() for name in children}
    # A tag stands for tasks that it does not put together.
    return [found for name, found in every.items() if name in asked.tasks or name not in members]


def _check_possible(asked: Harness) -> None:
    if find_spec(PACKAGE) is None:
        raise UserError(
            'eval=lm_eval needs the package lm-eval, which is not installed; pip install -e ".[lm-eval]", or set '
            "eval=none."
        )
    if asked.include_path is not None and not Path(asked.include_path).is_dir():
        raise UserError(f'eval.include_path "{asked.include_path}" is no folder; give one with task files of lm-eval.')
    processes = process_state().num_processes
    if processes > 1:
        raise UserError(
            f"eval=lm_eval runs in one process, and {processes} were launched; evaluate with eval=none first, then "
            f"launch one process with eval=lm_eval: what is finished is not evaluated again."
        )


def _settings(asked: Harness, stress: Stressed | None) -> dict[str, Any]:
    """Return what decides the results: of own tasks the content, wherever they lie."""
    own = None if asked.include_path is None else fingerprint.of_place(asked.include_path)
    keys = {key: value for key, value in asdict(asked).items() if key != "name"}
    facts = None if stress is None else dict(stress.facts)
    return {"harness": version(PACKAGE), **keys, "include_path": own, "stress": facts}


def _fingerprint_in(path: Path) -> str | None:
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("fingerprint")
    except (OSError, json.JSONDecodeError):
        return None

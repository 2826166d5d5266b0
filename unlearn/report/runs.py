"""What a run left behind besides its evaluation: what it cost, the curves of its loss terms, its data."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any

from unlearn.config.schema import Data
from unlearn.errors import UserError
from unlearn.metrics.logs import EvalLog, read_log
from unlearn.metrics.table import Value

LOG = Path("eval_results") / "eval_log_aggregated.json"

TRAINING_COST = {
    "Train Wall Seconds": ("wall_seconds", 1),
    "Train Peak Memory MiB": ("peak_memory_bytes", 2**20),
    "Train Forwards": ("forwards", 1),
}
NOT_TERMS = ("step", "epoch", "phase", "loss", "grad_norm", "lr")
"""Entries of a line of log.jsonl that are no loss term."""

Curve = list[tuple[int, float]]
"""(optimiser step, value), in the order of the log."""


class Kind(Enum):
    """What a model is in the comparison."""

    pretrained = "pretrained"
    base = "base"
    gold = "gold"
    unlearned = "unlearned"


@dataclass(frozen=True)
class Model:
    """One row of the report."""

    name: str
    kind: Kind
    folder: Path
    log: EvalLog

    @property
    def log_path(self) -> Path:
        """The file of its evaluation log."""
        return self.folder / LOG


def read_model(name: str, kind: Kind, folder: Path) -> Model:
    """Return the model whose run is in `folder`. Raises UserError where its evaluation cannot be read."""
    return Model(name, kind, folder, read_log(folder / LOG))


def training_cost(folder: Path) -> dict[str, Value]:
    """Return the cost columns of a run's done.json; none for a model that was not trained here."""
    path = folder / "done.json"
    if not path.is_file():
        return {}
    try:
        cost: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))["cost"]
        return {column: cost[key] if unit == 1 else cost[key] / unit for column, (key, unit) in TRAINING_COST.items()}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path} tells no cost ({error!r}); it may be truncated, so run the training again.") from error


def loss_curves(folder: Path) -> dict[str, Curve]:
    """Return the curve of every loss term of a run's log.jsonl; none for a model that was not trained here.

    Values are the terms before their weights, as they were logged: nats per answer token, or a term's own unit.
    """
    path = folder / "log.jsonl"
    curves: dict[str, Curve] = defaultdict(list)
    for line in _lines(path) if path.is_file() else ():
        for key, value in line.items():
            if key not in NOT_TERMS:
                curves[key].append((line["step"], value))
    return dict(curves)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            line = json.loads(text)
            line["step"] = int(line["step"])
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}, line {number} is no step of a training ({error!r}); train again.") from error
        yield line


def dataset_of(folder: Path) -> Data:
    """Return the `data` section of a run's config.yaml. Raises UserError where there is none."""
    import yaml

    path = folder / "config.yaml"
    try:
        section = yaml.safe_load(path.read_text(encoding="utf-8"))["data"]
        return Data(**{key.name: section[key.name] for key in fields(Data)})
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} names no dataset ({error!r}), from which the people of the page come; set people=0 to leave them "
            f"out, or base=... to a model with a config.yaml."
        ) from error

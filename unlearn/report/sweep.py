"""What a sweep tried and chose: <folder>/trials.csv and <folder>/selection.json."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unlearn.errors import UserError
from unlearn.metrics.content import read_json

COLUMNS = ("method", "trial", "lr", "num_epochs", "D Forget", "D Retain", "D Real", "D Max", "chosen", "folder")


@dataclass(frozen=True)
class Trial:
    """One setting of one method.

    distances  to gold on the half of the people that the choice was made on, by column; empty where the run failed
    """

    method: str
    number: int
    lr: float
    num_epochs: int
    distances: dict[str, float]
    chosen: bool


@dataclass(frozen=True)
class Chosen:
    """The setting of a method that the sweep chose: the run's folder, and what was changed for it."""

    method: str
    folder: Path
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Sweep:
    """A finished sweep; `seed` says which people were chosen on, the others are reported on."""

    seed: int
    trials: tuple[Trial, ...]
    chosen: tuple[Chosen, ...]


def read_sweep(folder: Path) -> Sweep:
    """Return the sweep in `folder`. Raises UserError where its files are absent, cut off or do not fit each other."""
    path = folder / "selection.json"
    content = read_json(path)
    try:
        chosen = tuple(
            Chosen(name, Path(entry["folder"]), tuple(entry["overrides"])) for name, entry in content["methods"].items()
        )
        seed = int(content["seed"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is no selection of a sweep ({error!r}); run the sweep's selection again.") from error
    trials = _trials(folder / "trials.csv")
    named = {trial.method for trial in trials if trial.chosen}
    if named != {entry.method for entry in chosen}:
        raise UserError(f"{folder}: trials.csv chooses for {', '.join(sorted(named))}, selection.json for others.")
    return Sweep(seed, trials, chosen)


def _trials(path: Path) -> tuple[Trial, ...]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return tuple(_trial(row) for row in rows)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is no table of trials with the columns {', '.join(COLUMNS)} ({error!r}); run the sweep's "
            f"selection again."
        ) from error


def _trial(row: dict[str, str]) -> Trial:
    return Trial(
        method=row["method"],
        number=int(row["trial"]),
        lr=float(row["lr"]),
        num_epochs=int(row["num_epochs"]),
        distances={column: float(row[column]) for column in COLUMNS if column.startswith("D ") and row[column]},
        chosen={"true": True, "false": False}[row["chosen"].lower()],
    )


def frontier(trials: Sequence[Trial], x: str, y: str) -> list[Trial]:
    """Return the trials that no other beats in both columns (smaller is better), by rising x: the Pareto frontier."""
    best: list[Trial] = []
    for trial in sorted((t for t in trials if t.distances), key=lambda t: (t.distances[x], t.distances[y])):
        if not best or trial.distances[y] < best[-1].distances[y]:
            best.append(trial)
    return best

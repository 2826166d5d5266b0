"""Choose one setting for every method of a sweep: the trial that is nearest to gold on half of the people.

    python -m unlearn.experiment.select save_dir=runs/mini_all/sweep golds=[runs/mini_all/retain90_seed0] \\
        methods=[npo,idk] sweep.lr=[1e-4,3e-4] sweep.num_epochs=[5]

Writes <save_dir>/trials.csv with every trial and <save_dir>/selection.json with the chosen ones. Near is what has the
smallest max D (unlearn/metrics/distance.py); of equals the first. The other half of the people is left to the report:
the best of several trials owes a part of its lead to luck on the people that chose it. Imports no torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearn.config.schema import MISSING, option
from unlearn.entry import launch
from unlearn.errors import UserError
from unlearn.experiment.config import Sweep
from unlearn.experiment.trials import Trial, trials
from unlearn.files import write_json
from unlearn.metrics.distance import MAX, compare
from unlearn.metrics.logs import EvalLog, read_log
from unlearn.metrics.manifest import COMPARED, Role
from unlearn.metrics.people import Half, half
from unlearn.metrics.table import Row, save_rows
from unlearn.run import lying_in

LOG = Path("eval_results") / "eval_log_aggregated.json"
COLUMNS = {"D Forget": Role.forget.value, "D Retain": Role.retain.value, "D Real": Role.real.value, "D Max": MAX}
Distances = Mapping[str, float]
"""D by column; empty for a trial that stopped."""


@dataclass
class SelectConfig:
    """Keys of `python -m unlearn.experiment.select`."""

    save_dir: str = option(MISSING, "folder of the sweep: its trials, and what is written of them")
    golds: list[str] = option(list, "runs of the models that never saw what is to be forgotten")
    methods: list[str] = option(list, "names of the methods that were tried")
    sweep: Sweep = option(Sweep, "what was tried for each of them")

    def problems(self) -> list[str]:
        """Return the lists that are empty."""
        given = {"golds": self.golds, "methods": self.methods, "sweep.lr": self.sweep.lr}
        return [f"{key} is empty; name at least one; set {key}=[...]." for key, values in given.items() if not values]


def main(cfg: SelectConfig) -> None:
    """Choose the trial of every method that is nearest to gold on half of the people."""
    folder = Path(cfg.save_dir)
    tried = trials(folder, cfg.methods, cfg.sweep.lr, cfg.sweep.num_epochs)
    distances = measure(tried, cfg.golds, cfg.sweep.seed)
    chosen = choose(tried, distances)
    # An older choice must not stand beside the new trials, should there be nothing to choose or the process end here.
    (folder / "selection.json").unlink(missing_ok=True)
    rows = [_row(trial, distances[trial], chosen.get(trial.method)) for trial in tried]
    save_rows(rows, folder / "trials.csv")
    _check_choice(cfg.methods, chosen, folder)
    methods = {name: _chosen(trial) for name, trial in chosen.items()}
    write_json(folder / "selection.json", {"seed": cfg.sweep.seed, "methods": methods})


def measure(tried: Sequence[Trial], golds: Sequence[str], seed: int) -> dict[Trial, Distances]:
    """Return the distances to gold of every trial on the half of the people that selects.

    Raises UserError where a log cannot be read or compared, and where a half has nobody of a task.
    """
    left = [trial for trial in tried if not lying_in(trial.folder).stopped]
    found = compare(
        {str(trial.folder): _selecting(trial.folder, seed) for trial in left},
        {gold: _selecting(Path(gold), seed) for gold in golds},
        draws=0,
    )
    nothing: dict[Trial, Distances] = {trial: {} for trial in tried}
    return nothing | {trial: _columns(found.models[str(trial.folder)].sets) for trial in left}


def choose(tried: Sequence[Trial], distances: Mapping[Trial, Distances]) -> dict[str, Trial]:
    """Return the trial of the smallest max D of every method, the first of equals; none of a method without a score."""
    chosen: dict[str, Trial] = {}
    for trial in tried:
        best = chosen.get(trial.method)
        if distances[trial] and (best is None or distances[trial]["D Max"] < distances[best]["D Max"]):
            chosen[trial.method] = trial
    return chosen


def _selecting(folder: Path, seed: int) -> EvalLog:
    log = read_log(folder / LOG)
    halves = {which: half(log, which, seed) for which in Half}
    bare = {name for part in halves.values() for name, task in part.tasks.items() if not task.items}
    if bare:
        raise UserError(
            f"{log.path} has too few people to be divided into two halves in {', '.join(sorted(bare))}; "
            f"evaluate on more people, or leave sweep out."
        )
    return halves[Half.selection]


def _columns(sets: Mapping[str, Any]) -> Distances:
    if MAX not in sets:
        lacking = ", ".join(sorted({role.value for role in COMPARED} - set(sets)))
        raise UserError(f"No task has the role {lacking}, and a sweep selects by the largest D of all; add such tasks.")
    return {column: sets[key].value for column, key in COLUMNS.items()}


def _row(trial: Trial, distances: Distances, chosen: Trial | None) -> Row:
    return {
        "method": trial.method,
        "trial": trial.number,
        "lr": trial.lr,
        "num_epochs": trial.num_epochs,
        **{column: distances.get(column) for column in COLUMNS},
        "chosen": str(trial == chosen).lower(),
        "folder": str(trial.folder),
    }


def _chosen(trial: Trial) -> dict[str, Any]:
    overrides = [f"{key}={value}" for key, value in trial.settings.items()]
    return {"folder": str(trial.folder), "overrides": overrides}


def _check_choice(methods: Sequence[str], chosen: Mapping[str, Trial], folder: Path) -> None:
    lost = [name for name in methods if name not in chosen]
    if lost:
        raise UserError(
            f"Every trial of {', '.join(lost)} stopped at a loss that is not finite ({folder / 'trials.csv'}); "
            f"add smaller values to sweep.lr, or leave these methods out."
        )


if __name__ == "__main__":
    launch("select", SelectConfig, main)

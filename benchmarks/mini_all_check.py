"""Whether experiment `mini_all` shows what it must: a method that comes near to gold, and golds that are alike.

    snakemake --cores 2 --config experiment=mini_all
    python benchmarks/mini_all_check.py [overrides of config/experiment/mini_all.yaml, e.g. root=runs/other]

The best method is the one whose chosen trial is nearest to gold on the half of the people that selects; every figure is
of the other half, but for the intervals: half of the forgotten people are fewer than an interval needs, so these are of
all people. Exit status 1 where a promise is not kept, 2 where something is absent.
"""

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from promises import Check, gold_pairs, known, read_logs, status

from unlearn.errors import UserError
from unlearn.experiment.config import ExperimentConfig, base, golds, load_experiment, swept
from unlearn.metrics.distance import FORGET, Comparison, compare
from unlearn.metrics.logs import EvalLog
from unlearn.metrics.people import Half, half

Logs = Mapping[str, EvalLog]


def checks(half_logs: Logs, logs: Logs, gold_names: Sequence[str], best: str) -> list[Check]:
    """Return all promises; either has base, the golds and the best method by name, on half of the people and on all."""
    found = _compared(half_logs, gold_names, best)
    apart = _apart(_compared(logs, gold_names, best), best)
    return [_forgetting(found, best), apart, *_spread(found), *gold_pairs(half_logs, gold_names, found)]


def _compared(logs: Logs, gold_names: Sequence[str], best: str) -> Comparison:
    unlearned = {name: logs[name] for name in ("base", best)}
    return compare(unlearned, {name: logs[name] for name in gold_names}, base="base")


def _forgetting(found: Comparison, best: str) -> Check:
    """The best method leaves at most 0.6 of base's distance."""
    near, far = (found.models[name].sets[FORGET].value for name in (best, "base"))
    return Check(f"{best}: D forget, 0.6 of base's", near, "le", 0.6 * far)


def _apart(found: Comparison, best: str) -> Check:
    """Between the best method and base lies more than chance."""
    near, far = (found.models[name].sets[FORGET] for name in (best, "base"))
    what = f"{best}: upper end of D forget, base's lower end (all people)"
    return Check(what, known(near.high), "lt", known(far.low))


def _spread(found: Comparison) -> Iterator[Check]:
    """Every gold lies within gold's spread on the forget set, and base beyond it."""
    spread = known((found.band or {}).get(FORGET))
    for name, gold in found.golds.items():
        yield Check(f"{name}: D forget, gold's spread", gold.sets[FORGET].value, "le", spread)
    yield Check("base: D forget, gold's spread", found.models["base"].sets[FORGET].value, "gt", spread)


def chosen(cfg: ExperimentConfig) -> tuple[str, Path]:
    """Return method and folder of the chosen trial with the smallest max D. Raises UserError where none is chosen."""
    # The file of all trials is written even where a method has none to choose.
    if not (swept(cfg) / "selection.json").is_file():
        raise UserError(f"{swept(cfg)} has no selection.json; run the experiment to its end first.")
    with (swept(cfg) / "trials.csv").open(encoding="utf-8") as lines:
        trials = [row for row in csv.DictReader(lines) if row["chosen"] == "true"]
    best = min(trials, key=lambda row: float(row["D Max"]))
    return best["method"], Path(best["folder"])


def promised(overrides: list[str]) -> list[Check]:
    """Return the promises of the experiment that ran with `overrides`. Raises UserError where a log is absent."""
    cfg = load_experiment("mini_all", overrides)
    best, folder = chosen(cfg)
    models = {model.name: model.results() for model in (base(cfg), *golds(cfg))} | {best: folder / "eval_results"}
    logs = read_logs(models)
    reported = {name: half(log, Half.report, cfg.sweep.seed) for name, log in logs.items()}
    return checks(reported, logs, [model.name for model in golds(cfg)], best)


def main(overrides: list[str]) -> int:
    """Print every figure with its bound and return the exit status."""
    return status(lambda: promised(overrides))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

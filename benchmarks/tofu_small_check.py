"""Whether experiment `tofu_small` tells who was trained on what: base and gold lie apart, and golds are alike.

    make tofu-small TOFU=/my/TOFU
    python benchmarks/tofu_small_check.py [overrides of config/experiment/tofu_small.yaml, e.g. root=runs/other]

Apart by probability and by ROUGE, each on its own. No promise is made of the truth ratio: a model from scratch has
never read the style of the paraphrases that it compares. Exit status 1 where a promise is not kept, 2 where a log is
absent.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from promises import Check, gold_pairs, known, read_logs, status

from unlearn.experiment.config import base, golds, load_experiment
from unlearn.metrics.distance import Comparison, compare
from unlearn.metrics.logs import EvalLog
from unlearn.metrics.samples import Score
from unlearn.metrics.scores import probability

TASK, KEPT = "forget_qa", "retain_qa"
APART = (Score.probability, Score.rouge)
Logs = Mapping[str, EvalLog]


def checks(logs: Logs, gold_names: Sequence[str]) -> list[Check]:
    """Return all promises; `logs` has base and the golds by name."""
    found = compare({"base": logs["base"]}, {name: logs[name] for name in gold_names}, base="base")
    return [*_knowledge(logs), *_separation(found), *gold_pairs(logs, gold_names, found)]


def _knowledge(logs: Logs) -> Iterator[Check]:
    """All have learned what they were taught: golds that learned nothing would be alike too."""
    for name, log in logs.items():
        mean = np.mean(probability(log.tasks[KEPT].loss))
        yield Check(f"{name}: probability, {KEPT}", float(mean), "gt", 0.5)


def _separation(found: Comparison) -> Iterator[Check]:
    """Base is farther from the golds than any gold from the others, beyond chance: the intervals are disjoint."""
    for score in APART:
        lower = known(found.models["base"].scores[TASK, score].low)
        for name, gold in found.golds.items():
            what = f"base: lower end of d {score.name}, {TASK}; {name}'s upper end"
            yield Check(what, lower, "gt", known(gold.scores[TASK, score].high))


def promised(overrides: list[str]) -> list[Check]:
    """Return the promises of the experiment that ran with `overrides`. Raises UserError where a log is absent."""
    cfg = load_experiment("tofu_small", overrides)
    logs = read_logs({model.name: model.results() for model in (base(cfg), *golds(cfg))})
    return checks(logs, [model.name for model in golds(cfg)])


def main(overrides: list[str]) -> int:
    """Print every figure with its bound and return the exit status."""
    return status(lambda: promised(overrides))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

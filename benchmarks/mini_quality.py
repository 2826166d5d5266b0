"""Whether comparisons on the mini benchmark mean something: every promise about experiment `mini`, with its bound.

    snakemake --cores 2 --config experiment=mini
    python benchmarks/mini_quality.py [overrides of config/experiment/mini.yaml, e.g. root=runs/other]

Reads the evaluation logs alone. Exit status 1 where a promise is not kept, 2 where a log is absent.
"""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from promises import Check, read_logs, status

from unlearn.experiment.config import golds, load_experiment, references, unlearned
from unlearn.metrics.accuracy import choice_accuracy, choice_chance
from unlearn.metrics.columns import forget_test, result_columns
from unlearn.metrics.logs import EvalLog, TaskLog
from unlearn.metrics.scores import probability

FREE = {"captions": "forget_captions", "QA": "forget_qa"}
"""The forget tasks with free answers."""
Logs = Mapping[str, EvalLog]


def checks(logs: Logs, gold_names: Sequence[str], method_names: Sequence[str]) -> list[Check]:
    """Return all promises; `logs` has pretrained, base, the golds and the methods by name."""
    return [
        *_recognition(logs, gold_names),
        *_knowledge(logs, gold_names),
        *_distances(logs, gold_names),
        *_unlearning(logs, gold_names[0], method_names),
    ]


def _recognition(logs: Logs, gold_names: Sequence[str]) -> Iterator[Check]:
    """Faces on pictures that nobody trained on, and faces that finetuning does not touch."""
    base = logs["base"].tasks
    yield Check("base: names on held-out retain pictures", choice_accuracy(base["retain_heldout_names"]), "ge", 0.75)
    for name in gold_names:
        task = logs[name].tasks["forget_heldout_names"]
        chance = choice_chance(task)
        error = math.sqrt(chance * (1 - chance) / len(task.items))
        away = abs(choice_accuracy(task) - chance)
        yield Check(f"{name}: names on held-out forget pictures, distance from chance", away, "le", 2 * error)
    before = choice_accuracy(logs["pretrained"].tasks["real_faces"])
    after = choice_accuracy(base["real_faces"])
    yield Check("pretrained: real faces", before, "ge", 0.8)
    yield Check("base: real faces, three quarters of pretrained's", after, "ge", 0.75 * before)


def _knowledge(logs: Logs, gold_names: Sequence[str]) -> Iterator[Check]:
    """What base and gold know of free answers."""
    for kind, task in FREE.items():
        yield Check(f"base: median log R, forget {kind}", _median(logs["base"].tasks[task]), "gt", 1.0)
        for name in gold_names:
            yield Check(f"{name}: |median log R|, forget {kind}", abs(_median(logs[name].tasks[task])), "lt", 0.3)
            gap = np.mean(logs["base"].tasks[task].rouge) - np.mean(logs[name].tasks[task].rouge)
            yield Check(f"ROUGE of base minus {name}, forget {kind}", float(gap), "ge", 0.25)
        for name in ("base", *gold_names):
            mean = np.mean(probability(logs[name].tasks[task.replace("forget", "retain")].loss))
            yield Check(f"{name}: probability, retain {kind}", float(mean), "gt", 0.85)


def _distances(logs: Logs, gold_names: Sequence[str]) -> Iterator[Check]:
    """Kolmogorov-Smirnov D of R: golds are alike, and base is unlike them."""
    between = dict.fromkeys(FREE, 0.0)
    for kind, task in FREE.items():
        for a, b in combinations(gold_names, 2):
            between[kind] = max(between[kind], _distance(logs, a, b, task))
            if kind == "captions":
                yield Check(f"D({a}, {b}), forget captions", _distance(logs, a, b, task), "lt", 0.3)
    for name in gold_names:
        yield Check(f"D(base, {name}), forget captions", _distance(logs, "base", name, FREE["captions"]), "gt", 0.8)
        far = _distance(logs, "base", name, FREE["QA"])
        yield Check(f"D(base, {name}), forget QA, twice the largest D of golds", far, "gt", 2 * between["QA"])


def _unlearning(logs: Logs, gold: str, method_names: Sequence[str]) -> Iterator[Check]:
    """One method comes at least twice as near to gold as base is and stays useful; ascent alone wrecks the model."""
    utility = {name: result_columns(logs[name], logs[gold])["Model Utility"] for name in ("base", *method_names)}
    half = 0.5 * utility["base"]
    ratios = {name: _gap(logs, name, gold) / _gap(logs, "base", gold) for name in method_names}
    useful = {name: ratio for name, ratio in ratios.items() if utility[name] >= half}
    best = min(useful, key=lambda name: useful[name], default="no method keeps its utility")
    yield Check(f"{best}: distance to {gold} over base's", useful.get(best, math.inf), "le", 0.5)
    yield Check("grad_ascent: model utility, half of base's", utility["grad_ascent"], "lt", half)


def _median(task: TaskLog) -> float:
    return float(np.median(task.log_ratio))


def _distance(logs: Logs, a: str, b: str, task: str) -> float:
    return forget_test(logs[a].tasks[task], logs[b].tasks[task]).statistic


def _gap(logs: Logs, a: str, b: str) -> float:
    """Return the mean |p_a - p_b| of the true answers over the items (sorted alike) of the free forget tasks."""
    gaps = [probability(logs[a].tasks[task].loss) - probability(logs[b].tasks[task].loss) for task in FREE.values()]
    return float(np.mean(np.abs(np.concatenate(gaps))))


def promised(overrides: list[str]) -> list[Check]:
    """Return the promises of the experiment that ran with `overrides`. Raises UserError where a log is absent."""
    cfg = load_experiment("mini", overrides)
    logs = read_logs({model.name: model.results() for model in (*references(cfg), *unlearned(cfg))})
    return checks(logs, [model.name for model in golds(cfg)], list(cfg.methods))


def main(overrides: list[str]) -> int:
    """Print every figure with its bound and return the exit status."""
    return status(lambda: promised(overrides))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

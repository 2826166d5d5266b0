"""One row of results: a model's evaluation log against gold's (the model that never saw what is forgotten)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unlearn.config.schema import MISSING, Metrics, option
from unlearn.metrics.bootstrap import FEWEST_SEEDS
from unlearn.metrics.columns import (
    cost_columns,
    distance_columns,
    divergence_columns,
    memorization_columns,
    released_columns,
    result_columns,
)
from unlearn.metrics.comparison import comparable, incomplete, task_infos
from unlearn.metrics.distance import compare
from unlearn.metrics.harness import harness_columns
from unlearn.metrics.logs import EvalLog, read_log
from unlearn.metrics.privacy import privacy_columns
from unlearn.metrics.table import Row, Value, ending_problem

MODEL, GOLD, REFERENCE, BASE = "ckpt_result", "retain_result", "reference_result", "base_result"


@dataclass
class AggregateConfig:
    """Keys of aggregate_eval_stat.py."""

    retain_result: str = option(MISSING, "eval_log_aggregated.json of gold, finetuned without what is forgotten")
    ckpt_result: str = option(MISSING, "eval_log_aggregated.json of the model in question")
    method_name: str = option(MISSING, "entry of the column Method")
    submitted_by: str = option(MISSING, "entry of the column Submitted By")
    save_file: str = option(MISSING, "where the row is written: .csv, .json or .md")
    gold_results: list[str] = option(list, "logs of further gold seeds; from three golds on their spread is known")
    base_result: str | None = option(None, "log of the model that was to forget, for the column Remaining; null: none")
    metrics: Metrics = option(Metrics.correct, "correct | released: what CLEAR's published code computes instead")
    allow_incomplete: bool = option(False, "compare the items scored so far of evaluations that are not finished")
    reference_result: str | None = option(None, "log of a model (pretrained) for the reference attack; null: none")

    def problems(self) -> list[str]:
        """Return what is wrong with the keys."""
        problem = ending_problem(self.save_file)
        places = [Path(path).resolve() for path in (self.retain_result, *self.gold_results)]
        twice = {path for path in self.gold_results if places.count(Path(path).resolve()) > 1}
        found = [f"{path} is given as gold twice; give every gold seed once." for path in sorted(twice)]
        if (
            self.reference_result is not None
            and Path(self.reference_result).resolve() == Path(self.ckpt_result).resolve()
        ):
            found.append("reference_result is ckpt_result; give the log of another model, or null.")
        found += self._base_problems(places)
        return found if problem is None else [problem, *found]

    def _base_problems(self, golds: Sequence[Path]) -> Iterator[str]:
        """What remains of base's distance means nothing before it is known how far golds are from each other."""
        if self.base_result is None:
            return
        if self.metrics is not Metrics.correct:
            yield f"base_result is given with metrics={self.metrics.value}, which knows no distances; leave it out."
        if Path(self.base_result).resolve() in golds:
            yield f"base_result is {self.base_result}, a gold; give the log of the model that was to forget."
        if len(golds) < FEWEST_SEEDS:
            yield (
                f"base_result is given with {len(golds)} gold(s), but Remaining needs {FEWEST_SEEDS}; name more in "
                f"gold_results, or leave base_result out."
            )


def aggregate(cfg: AggregateConfig) -> Row:
    """Return the row of results of the config's logs. Raises UserError where they cannot be read or compared."""
    golds = {GOLD: cfg.retain_result, **{f"gold_results[{i}]": path for i, path in enumerate(cfg.gold_results)}}
    given = {REFERENCE: cfg.reference_result, BASE: cfg.base_result}
    other = {key: path for key, path in given.items() if path is not None}
    logs = {key: read_log(path) for key, path in {**golds, MODEL: cfg.ckpt_result, **other}.items()}
    marks = {
        "Foreign": " ".join(key for key, log in logs.items() if log.foreign),
        "Incomplete": "; ".join(f"{key} {text}" for key, log in logs.items() for text in incomplete(log)),
    }
    keys = [MODEL, *golds, *other]
    logs = dict(zip(keys, comparable([logs[key] for key in keys], cfg.allow_incomplete), strict=True))
    return {
        "Method": cfg.method_name,
        "Submitted By": cfg.submitted_by,
        "Metrics": cfg.metrics.value,
        **{column: mark for column, mark in marks.items() if mark},
        **COLUMNS[cfg.metrics](logs),
        **harness_columns(logs[MODEL]),
        **cost_columns(logs[MODEL]),
    }


def _correct(logs: Mapping[str, EvalLog]) -> dict[str, Value]:
    model, golds = logs[MODEL], {key: log for key, log in logs.items() if key not in (MODEL, REFERENCE, BASE)}
    # A gold seed is no member of the pool that it is held against, as long as there are others.
    same = [key for key, gold in golds.items() if gold.path.resolve() == model.path.resolve()]
    own = same[0] if same and len(golds) > 1 else None
    # What is incomplete has been refused by now, or reduced to the items that all logs have.
    models = {key: logs[key] for key in (MODEL, BASE) if key in logs and (own is None or key == BASE)}
    compared = compare(models, golds, base=BASE if BASE in logs else None, allow_incomplete=True)
    distances = compared.models[MODEL] if own is None else compared.golds[own]
    infos = task_infos(*logs.values())
    return {
        **distance_columns(distances, infos, compared.band),
        **result_columns(model, golds[GOLD]),
        **memorization_columns(model, infos),
        **privacy_columns(model, golds[GOLD], infos, logs.get(REFERENCE)),
        **divergence_columns(model, golds, own),
    }


def _released(logs: Mapping[str, EvalLog]) -> dict[str, Value]:
    return released_columns(logs[MODEL], logs[GOLD])


COLUMNS = {Metrics.correct: _correct, Metrics.released: _released}

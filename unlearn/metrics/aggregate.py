"""One row of results: a model's evaluation log against that of gold (the model that never saw what is forgotten)."""

from dataclasses import dataclass

from unlearn.config.schema import MISSING, option
from unlearn.metrics.comparison import comparable, incomplete, task_infos
from unlearn.metrics.logs import EvalLog, TaskLog, read_log
from unlearn.metrics.manifest import Role, TaskInfo
from unlearn.metrics.scores import log_truth_ratio
from unlearn.metrics.sets import TaskScores, model_utility, set_score, task_scores
from unlearn.metrics.statistics import KolmogorovSmirnov, ks_two_sample
from unlearn.metrics.table import Row, Value, ending_problem

METRICS = "correct"
"""The definitions behind a row's numbers, named in its `Metrics` column."""

FORGET_QUALITY_TASKS = ("eval_log_forget.json", "forget_captions", "forget_qa")
"""Forget quality is the p-value of the first of these that is to be forgotten: QA only where the captions stay."""

SET_COLUMNS = {"Real": Role.real, "Retain": Role.retain, "Forget": Role.forget}

COST_COLUMNS = {
    "Eval Wall Seconds": ("wall_seconds", 1),
    "Eval Peak Memory MiB": ("peak_memory_bytes", 2**20),
    "Eval Forwards": ("forwards", 1),
}


@dataclass
class AggregateConfig:
    """Keys of aggregate_eval_stat.py."""

    retain_result: str = option(MISSING, "eval_log_aggregated.json of gold, finetuned without what is forgotten")
    ckpt_result: str = option(MISSING, "eval_log_aggregated.json of the model in question")
    method_name: str = option(MISSING, "entry of the column Method")
    submitted_by: str = option(MISSING, "entry of the column Submitted By")
    save_file: str = option(MISSING, "where the row is written: .csv, .json or .md")
    allow_incomplete: bool = option(False, "compare the items scored so far of evaluations that are not finished")

    def problems(self) -> list[str]:
        """Return what is wrong with the keys."""
        problem = ending_problem(self.save_file)
        return [] if problem is None else [problem]


def aggregate(cfg: AggregateConfig) -> Row:
    """Return the row of results of the config's logs. Raises UserError where they cannot be read or compared."""
    logs = {"retain_result": read_log(cfg.retain_result), "ckpt_result": read_log(cfg.ckpt_result)}
    marks = {
        "Foreign": " ".join(key for key, log in logs.items() if log.foreign),
        "Incomplete": "; ".join(f"{key} {text}" for key, log in logs.items() for text in incomplete(log)),
    }
    model, gold = comparable([logs["ckpt_result"], logs["retain_result"]], cfg.allow_incomplete)
    return {
        "Method": cfg.method_name,
        "Submitted By": cfg.submitted_by,
        "Metrics": METRICS,
        **{column: mark for column, mark in marks.items() if mark},
        **result_columns(model, gold),
        **_cost_columns(model),
    }


def result_columns(model: EvalLog, gold: EvalLog) -> dict[str, Value]:
    """Return TOFU's columns for the tasks of two comparable logs, and the means of the sets Real, Retain and Forget.

    A number that needs a task which was not evaluated is None.
    """
    infos = task_infos(model, gold)
    tasks = {name: task_scores(model.tasks[name], infos[name]) for name in infos if name in model.tasks}
    row: dict[str, Value] = {}
    for name, scores in tasks.items():
        row |= _task_columns(scores, infos[name])
    for column, role in SET_COLUMNS.items():
        row[column] = set_score(scores for name, scores in tasks.items() if infos[name].role is role)
    row["Model Utility"] = model_utility(tasks)
    forgotten = [name for name in tasks if infos[name].role is Role.forget]
    tests = {name: forget_test(model.tasks[name], gold.tasks[name]) for name in forgotten}
    row["Forget Quality"] = next((tests[name].p_value for name in FORGET_QUALITY_TASKS if name in tests), None)
    for name, test in tests.items():
        row |= _test_columns(test, infos[name].label)
    return row


def forget_test(model: TaskLog, gold: TaskLog) -> KolmogorovSmirnov:
    """Return the Kolmogorov-Smirnov test of the truth ratios of a forget task's items, model [n] against gold [m].

    TOFU's forget quality (arXiv:2401.06121, section 2.2), on log R: ranks are those of R, and no exp overflows.
    """
    ratios = [log_truth_ratio(task.paraphrase_loss, task.wrong_losses) for task in (model, gold)]
    return ks_two_sample(*ratios)


def _task_columns(scores: TaskScores, info: TaskInfo) -> dict[str, Value]:
    return {
        f"ROUGE {info.label}": scores.rouge,
        f"Prob. {info.label}": scores.probability,
        f"Truth Ratio {info.label}": scores.truth_ratio(info.role),
    }


def _test_columns(test: KolmogorovSmirnov, label: str) -> dict[str, Value]:
    return {
        f"KS Test {label}": test.statistic,
        f"KS Test PVal {label}": test.p_value,
        f"KS Test log10 PVal {label}": test.log10_p,
    }


def _cost_columns(log: EvalLog) -> dict[str, Value]:
    """Return what the model's evaluation cost, as far as its manifest says."""
    cost = log.manifest.cost if log.manifest is not None else {}
    known = {column: (cost.get(key), unit) for column, (key, unit) in COST_COLUMNS.items()}
    return {c: value if unit == 1 else value / unit for c, (value, unit) in known.items() if value is not None}

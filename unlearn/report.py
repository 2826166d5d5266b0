"""The table of an experiment: one row per model against gold, with what training and evaluation cost.

    python -m unlearn.report +models.base=runs/mini_llava/full +models.gold=runs/mini_llava/retain90 \\
        +models.npo=runs/mini_llava/npo save_dir=runs/mini_llava

Writes table.csv and table.md (all columns), plot.png, and summary.md (what one looks at first). Imports no torch.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearn.config.schema import MISSING, option
from unlearn.entry import launch
from unlearn.errors import UserError, unknown
from unlearn.figure import draw
from unlearn.files import write_text
from unlearn.metrics.accuracy import choice_accuracy
from unlearn.metrics.aggregate import AggregateConfig, aggregate
from unlearn.metrics.comparison import task_infos
from unlearn.metrics.logs import read_log
from unlearn.metrics.table import Row, Value, rows_to_markdown, save_rows, transposed

LOG = Path("eval_results") / "eval_log_aggregated.json"

TRAINING_COST = {
    "Train Wall Seconds": ("wall_seconds", 1),
    "Train Peak Memory MiB": ("peak_memory_bytes", 2**20),
    "Train Forwards": ("forwards", 1),
}

SUMMARY = (
    "Forget",
    "Retain",
    "Real",
    "Model Utility",
    "Forget Quality",
    "KS Test Forget Captions",
    "Prob. Forget Captions",
    "ROUGE Forget Captions",
    "Accuracy Forget Held-out Names",
    "Accuracy Retain Held-out Names",
    "Train Wall Seconds",
    "Eval Wall Seconds",
)

READING = """\
Read each row against gold, which never saw the people to be forgotten: a model has forgotten well if its Forget figures
come down to gold's (below them it is damaged, not more forgetful) while Retain, Real and Model Utility stay where base
has them. Forget Quality is the p-value of a test that tells the model from gold on the forgotten people: near 1 it
cannot, near 0 it can. (On a CPU the peak memory is that of the process, which several runs may share.)
"""


@dataclass
class ReportConfig:
    """Keys of `python -m unlearn.report`."""

    models: dict[str, str] = option(dict, "name of each row: folder of the model's run, with eval_results in it")
    gold: str = option("gold", "the one of `models` that the others are held against")
    save_dir: str = option(MISSING, "folder of table.csv, table.md, plot.png and summary.md")
    submitted_by: str = option("anonymous", 'entry of the column "Submitted By"')

    def problems(self) -> list[str]:
        """Return what is wrong with the keys."""
        if not self.models:
            return ["models is empty; name each row and its run's folder, +models.gold=... +models.npo=... ."]
        return [] if self.gold in self.models else [str(unknown("gold", self.gold, list(self.models)))]


def main(cfg: ReportConfig) -> None:
    """Compare the evaluations of several models with gold's and write the table as CSV and Markdown."""
    rows = [report_row(cfg, name) for name in cfg.models]
    folder = Path(cfg.save_dir)
    save_rows(rows, folder / "table.csv")
    write_text(folder / "table.md", rows_to_markdown(transposed(rows, "Method")))
    draw(rows, cfg.gold, folder / "plot.png")
    write_text(folder / "summary.md", summary(rows, folder))


def report_row(cfg: ReportConfig, name: str) -> Row:
    """Return the row of one model: metrics, accuracies, cost of evaluation and of training."""
    folder, gold = Path(cfg.models[name]), Path(cfg.models[cfg.gold])
    compared = aggregate(
        AggregateConfig(
            retain_result=str(gold / LOG),
            ckpt_result=str(folder / LOG),
            method_name=name,
            submitted_by=cfg.submitted_by,
            save_file=str(Path(cfg.save_dir) / "table.csv"),
        )
    )
    return {**compared, **_accuracies(folder / LOG), **training_cost(folder / "done.json")}


def training_cost(path: Path) -> dict[str, Value]:
    """Return the cost columns of a run's done.json; none for a model that was not trained here."""
    if not path.is_file():
        return {}
    try:
        cost: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))["cost"]
        return {column: cost[key] if unit == 1 else cost[key] / unit for column, (key, unit) in TRAINING_COST.items()}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path} tells no cost ({error!r}); it may be truncated, so run the training again.") from error


def summary(rows: Sequence[Row], folder: Path) -> str:
    """Return the text for a first look: the figures of SUMMARY that there are, one column per model, how to read it."""
    present = [column for column in SUMMARY if any(row.get(column) is not None for row in rows)]
    few = [{"Method": row["Method"], **{column: row.get(column) for column in present}} for row in rows]
    files = (
        f"All figures: {folder / 'table.md'} and {folder / 'table.csv'}; picture: {folder / 'plot.png'}; "
        f"every item: eval_results/*.jsonl in each model's folder.\n"
    )
    return f"{rows_to_markdown(transposed(few, 'Method'))}\n{READING}\n{files}"


def _accuracies(path: Path) -> dict[str, Value]:
    """Return the share of right choices for every multiple-choice task of a log."""
    log = read_log(path)
    infos = task_infos(log, log)
    chosen = [name for name in log.tasks if infos[name].choice]
    return {f"Accuracy {infos[name].label}": choice_accuracy(log.tasks[name]) for name in chosen}


if __name__ == "__main__":
    launch("report", ReportConfig, main)

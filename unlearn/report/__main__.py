"""The report of an experiment: what every model knows, how far it is from gold, what it cost, and what it says.

    python -m unlearn.report +models.pretrained=runs/demo/pretrained +models.base=runs/demo/full \\
        +models.gold=runs/demo/retain90_seed0 +models.npo=runs/demo/npo save_dir=runs/demo

Writes table.csv and table.md (all columns), table.tex and summary.md (what one looks at first), the figures as PNG
files in figures/, and report.html, one page with all of it and with people. Imports no torch.
"""

from collections.abc import Sequence
from pathlib import Path

from unlearn.config.schema import Metrics
from unlearn.entry import launch
from unlearn.errors import UserError
from unlearn.files import write_bytes, write_text
from unlearn.metrics.manifest import Manifest
from unlearn.metrics.table import rows_to_markdown, save_rows, transposed
from unlearn.report.config import ReportConfig
from unlearn.report.gallery import gallery
from unlearn.report.latex import to_latex
from unlearn.report.page import Page, to_html
from unlearn.report.people import people
from unlearn.report.rows import Entry, entries_of, samples_of
from unlearn.report.runs import Kind, Model, dataset_of, read_model
from unlearn.report.tables import Table, headline, to_markdown

READING = """\
Read each row against gold, which never saw the people to be forgotten: a model has forgotten well if its Forget figures
come down to gold's (below them it is damaged, not more forgetful) while Retain, Real and Model Utility stay where base
has them. Settings that were not tuned rank nothing, and tiny models do not predict those of seven billion parameters.
(On a CPU the peak memory is that of the process, which several runs may share.)
"""


def main(cfg: ReportConfig) -> None:
    """Compare the evaluations of several models with gold's; write tables, figures and one page."""
    models = read_models(cfg)
    gold = next(model for model in models if model.name == cfg.golds[0])
    manifest = _manifest(gold)
    entries = entries_of(models, gold, manifest.tasks, cfg.submitted_by)
    shown = [model for model in models if model.kind is not Kind.gold or model is gold]
    people_shown = people(shown, manifest, dataset_of(Path(cfg.models[cfg.base])), cfg.people) if cfg.people else []
    figures = list(gallery(models, entries, samples_of(models, manifest.tasks), manifest.tasks))
    table = headline(entries)
    page = Page(
        title=f"Unlearning report: {Path(cfg.save_dir).resolve().name}",
        mode=Metrics.correct.value,
        manifest=manifest,
        half=False,
        band=False,
        settings=[],
        table=table,
        rows=[entry.row for entry in entries],
        figures=figures,
        people=people_shown,
    )
    write_report(Path(cfg.save_dir), page, entries)


def read_models(cfg: ReportConfig) -> list[Model]:
    """Return the models in the order of the config."""
    kinds = {cfg.pretrained: Kind.pretrained, cfg.base: Kind.base, **dict.fromkeys(cfg.golds, Kind.gold)}
    return [read_model(name, kinds.get(name, Kind.unlearned), Path(folder)) for name, folder in cfg.models.items()]


def write_report(folder: Path, page: Page, entries: Sequence[Entry]) -> None:
    """Write all files; the page last, so that it never stands beside older tables and figures."""
    rows = [entry.row for entry in entries]
    save_rows(rows, folder / "table.csv")
    write_text(folder / "table.md", rows_to_markdown(transposed(rows, "Method")))
    write_text(folder / "table.tex", to_latex(page.table, f"Distance to gold (metrics: {page.mode})."))
    (folder / "figures").mkdir(exist_ok=True)
    for figure in page.figures:
        write_bytes(folder / "figures" / f"{figure.name}.png", figure.light)
    write_text(folder / "summary.md", summary(page.table, page.mode, folder))
    write_text(folder / "report.html", to_html(page))


def summary(table: Table, mode: str, folder: Path) -> str:
    """Return the text for a first look: the headline table and how to read it."""
    files = (
        f"The page with figures and people: {folder / 'report.html'}; all columns: {folder / 'table.md'} and "
        f"{folder / 'table.csv'}; for a paper: {folder / 'table.tex'}; every item: eval_results/*.jsonl in each "
        f"model's folder.\n"
    )
    return f"{to_markdown(table)}\nMetrics: {mode}.\n\n{READING}\n{files}"


def _manifest(gold: Model) -> Manifest:
    if gold.log.manifest is None:
        raise UserError(
            f"{gold.log_path} has no manifest.json beside it, so what was evaluated is not known; a report needs "
            f"evaluations of mm/eval.py (aggregate_eval_stat.py compares logs of other tools)."
        )
    return gold.log.manifest


if __name__ == "__main__":
    launch("report", ReportConfig, main)

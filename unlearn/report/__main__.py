"""The report of an experiment: how far every model is from gold, what it cost, and what it says.

    python -m unlearn.report +models.pretrained=runs/demo/pretrained +models.base=runs/demo/full \\
        +models.gold=runs/demo/retain90_seed0 +models.npo=runs/demo/npo save_dir=runs/demo

Writes table.csv and table.md (all columns), table.tex and summary.md (what one looks at first), the figures as PNG
files in figures/, and report.html, one page with all of it and with people; privacy.csv and privacy.md on memorisation
and membership attacks, and where tasks were probed probes.csv and probes.md, and where models were evaluated under
stress robustness.csv and robustness.md. Imports no torch.
"""

from pathlib import Path

from unlearn.config.schema import Metrics
from unlearn.entry import launch
from unlearn.files import write_bytes, write_text
from unlearn.metrics.table import save_rows
from unlearn.report.config import ReportConfig
from unlearn.report.gallery import gallery, undrawn
from unlearn.report.latex import to_latex
from unlearn.report.page import Page, to_html
from unlearn.report.people import people
from unlearn.report.privacy import privacy
from unlearn.report.probes import probes
from unlearn.report.robustness import robustness
from unlearn.report.rows import entries_of
from unlearn.report.runs import Kind, dataset_of
from unlearn.report.sections import write_section
from unlearn.report.study import Study, read_study
from unlearn.report.tables import headline, to_long_markdown, to_markdown, whole

READING = {
    Metrics.correct: """\
D is the distance to gold, which never saw the people to be forgotten: 0 is gold, D Max is the figure to go by. A
negative Shift Forget means that a model knows less than gold: it is damaged, not more forgetful. In brackets: 95%
intervals over people, n/a for fewer than ten of them. In bold: the best method of a column. (On a CPU the peak memory
is that of the process, which several runs may share.)
""",
    Metrics.released: """\
The numbers follow CLEAR's published code and serve to compare with its tables alone. In bold: the best method of a
column. (On a CPU the peak memory is that of the process, which several runs may share.)
""",
}
UNTUNED = "The settings are not tuned, so this table ranks nothing. "
NOTES = {
    (Metrics.correct, False): UNTUNED,
    (Metrics.released, False): UNTUNED,
    (Metrics.correct, True): "Distances are those of the people on whom no setting was chosen, others of all people. ",
    (Metrics.released, True): "Settings were chosen on one half of the people, numbers are those of all. ",
}
"""By definitions, and whether a sweep chose the settings."""
TINY = "Tiny models do not predict those of seven billion parameters.\n"


def main(cfg: ReportConfig) -> None:
    """Compare the evaluations of several models with gold's; write tables, figures and one page."""
    study = read_study(cfg)
    entries = entries_of(study, cfg.submitted_by)
    gold = study.golds[0]
    speakers = [model for model in study.models if model.kind is not Kind.gold or model is gold]
    data = dataset_of(gold.folder) if cfg.people else None
    page = Page(
        title=f"Unlearning report: {Path(cfg.save_dir).resolve().name}",
        metrics=study.metrics,
        manifest=study.manifest,
        band=study.comparison.band is not None,
        sweep=study.sweep,
        table=headline(entries, study.metrics),
        columns=whole(entries),
        figures=list(gallery(study, entries)),
        sections=[*privacy(study, entries), *probes(study), *robustness(study, cfg.stresses)],
        people=people(speakers, study.manifest, data, cfg.people) if data is not None else [],
        models=study.models,
        undrawn=undrawn(study),
    )
    folder = Path(cfg.save_dir)
    save_rows([entry.row for entry in entries], folder / "table.csv")
    write_report(folder, page, study)


def write_report(folder: Path, page: Page, study: Study) -> None:
    """Write all files but table.csv; the page last, so that it never stands beside older tables and figures."""
    note = f"Metrics: {page.metrics.value}. {NOTES[study.metrics, study.sweep is not None]}{TINY}"
    write_text(folder / "table.md", f"{to_long_markdown(page.columns)}\n{note}")
    write_text(folder / "table.tex", to_latex(page.table, f"Unlearned models beside gold. {note.strip()}"))
    (folder / "figures").mkdir(exist_ok=True)
    for section in page.sections:
        write_section(folder, section)
    for figure in page.figures:
        write_bytes(folder / "figures" / f"{figure.name}.png", figure.light)
    write_text(folder / "summary.md", summary(page, note, folder))
    write_text(folder / "report.html", to_html(page))


def summary(page: Page, note: str, folder: Path) -> str:
    """Return the text for a first look: the headline table and how to read it."""
    more = "".join(f"; {section.title.lower()}: {folder / f'{section.key}.md'}" for section in page.sections)
    files = (
        f"The page with figures and people: {folder / 'report.html'}; all columns: {folder / 'table.md'} and "
        f"{folder / 'table.csv'}; for a paper: {folder / 'table.tex'}{more}; every item: eval_results/*.jsonl in each "
        f"model's folder.\n"
    )
    return f"{to_markdown(page.table)}\n{note}\n{READING[page.metrics]}\n{files}"


if __name__ == "__main__":
    launch("report", ReportConfig, main)

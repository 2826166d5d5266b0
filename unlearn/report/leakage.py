"""The leakage matrix: what was forgotten of people (pictures, texts, both), asked for on every way that may lead to it.

    python -m unlearn.report.leakage +experiments.text=runs/leakage/text +experiments.image=runs/leakage/image \\
        golds=[retain90_seed0] methods=[npo] stresses=[base_projector] save_dir=runs/leakage

Each experiment forgets one modality and has golds that never saw that of the forgotten people; runs have the same names
in all of them. A cell holds how far a model is from gold on one task; a leak is what the model, asked in that way,
still knows and gold does not. Writes leakage.csv, leakage.json, leakage.md, figures/leakage.png and leakage.html.
Imports no torch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unlearn.config.schema import MISSING, Modality, option
from unlearn.entry import launch
from unlearn.errors import UserError, unknown
from unlearn.files import write_text
from unlearn.metrics.bootstrap import Interval
from unlearn.metrics.columns import NO_INTERVAL, interval_columns
from unlearn.metrics.comparison import task_infos
from unlearn.metrics.distance import compare
from unlearn.metrics.logs import EvalLog, read_log
from unlearn.metrics.manifest import Role, TaskInfo, results_folder
from unlearn.metrics.table import Row, save_rows
from unlearn.report.figures import leakage as figure
from unlearn.report.gallery import picture
from unlearn.report.page import Picture, Section, section_html
from unlearn.report.runs import LOG, Kind
from unlearn.report.sections import write_section
from unlearn.report.tables import Cell, Line, Table, between, shown

BASE = "base"
LEAK, NO_LEAK, KEPT = "yes", "no", "kept"
"""Verdicts, beside "n/a" where there is no interval. Kept: gold knows it too, so nothing can leak."""
READING = (
    "A number is the shift from gold on a task: the mean over its scores of model minus gold, in brackets its 95% "
    "interval over people; D is the distance. Each forgotten modality has golds of its own, which never saw it.",
    "Leak: the whole interval of the shift lies above 0, so the model, asked in this way, still knows what gold does "
    "not. Without an interval (fewer than ten people) nothing is called a leak.",
    "Kept: this was not to be forgotten, gold knows it too. A shift below 0 is damage there.",
    "Base forgot nothing: where it does not leak, there is nothing that this way of asking could reach. Column Of Base "
    "of leakage.csv: the part of its leak that is left.",
    "Under another's picture a model that knows both faces rightly names the one that it sees, so base can be below "
    "gold there: a leak means that the answer comes without its face. Under a stress golds are changed alike.",
)


@dataclass
class LeakageConfig:
    """Keys of `python -m unlearn.report.leakage`."""

    experiments: dict[str, str] = option(dict, "what was forgotten (text, image, both): folder of that experiment")
    base: str = option("full", "run of the model that was to forget, a folder in each experiment")
    golds: list[str] = option(list, "runs of the models that never saw what is forgotten")
    methods: list[str] = option(list, "runs of the unlearned models")
    stresses: list[str] = option(list, "stresses under which picture tasks are asked too, e.g. base_projector")
    save_dir: str = option(MISSING, "folder of the matrix")

    def problems(self) -> list[str]:
        """Return the keys that name nothing or a run twice, and modalities that are none."""
        known = [modality.name for modality in Modality]
        found = [
            str(unknown("modality in experiments:", name, known)) for name in self.experiments if name not in known
        ]
        given = {"experiments": self.experiments, "golds": self.golds, "methods": self.methods}
        found += [f"{key} is empty; name at least one." for key, values in given.items() if not values]
        runs = [*dict.fromkeys((BASE, self.base)), *self.golds, *self.methods]
        twice = sorted({name for name in runs if runs.count(name) > 1})
        return found + [f"{name} is named twice; each run is base, a gold or a method." for name in twice]


@dataclass(frozen=True)
class Passage:
    """What one model says to one task where one modality was forgotten: a cell of the matrix.

    way       how the task is called, after its stress if there is one
    distance  D to the golds of that modality
    shift     model minus gold, the mean over the task's scores
    """

    modality: str
    model: str
    task: str
    stress: str | None
    way: str
    role: Role
    distance: Interval
    shift: Interval

    @property
    def verdict(self) -> str:
        """Whether the model still knows what gold does not."""
        if self.role is not Role.forget:
            return KEPT
        if self.shift.low is None:
            return NO_INTERVAL
        return LEAK if self.shift.low > 0 else NO_LEAK


def main(cfg: LeakageConfig) -> None:
    """Compare the experiments' models with the golds of their modality; write the matrix."""
    folder = Path(cfg.save_dir)
    section = leakage(cfg)
    write_section(folder, section)
    save_rows(section.rows, folder / "leakage.json")
    # The page last, so that it never stands beside an older matrix.
    write_text(folder / "leakage.html", section_html(section, f"Leakage: {folder.resolve().name}"))


def leakage(cfg: LeakageConfig) -> Section:
    """Return the matrix with its words and its figure. Raises UserError where a log cannot be read or compared."""
    passages = [passage for name, path in cfg.experiments.items() for passage in _passages(cfg, name, Path(path))]
    asked = {passage.way for passage in passages if passage.role is Role.forget}
    passages = [passage for passage in passages if passage.way in asked]
    ways = tuple(dict.fromkeys(passage.way for passage in passages))
    places = {(passage.model, passage.modality, passage.way): passage for passage in passages}
    lines = [
        Line(f"{model}, {modality} forgotten", kind, tuple(_cell(places.get((model, modality, way))) for way in ways))
        for model, kind in ((BASE, Kind.base), *((name, Kind.unlearned) for name in cfg.methods))
        for modality in cfg.experiments
    ]
    rows = [_row(passage, places[BASE, passage.modality, passage.way]) for passage in passages]
    return Section("leakage", "Leakage matrix", READING, Table(ways, tuple(lines)), rows, [_figure(cfg, places, ways)])


def _passages(cfg: LeakageConfig, modality: str, folder: Path) -> Iterator[Passage]:
    """Yield the cells of one forgotten modality: those of the tasks, then those of the picture tasks under a stress."""
    for stress in (None, *cfg.stresses):
        golds = {name: _log(folder / name, stress, modality) for name in cfg.golds}
        runs = {BASE: cfg.base, **{name: name for name in cfg.methods}}
        models = {name: _log(folder / run, stress, modality) for name, run in runs.items()}
        infos = task_infos(*golds.values())
        for name, found in compare(models, golds).models.items():
            for task, distance in found.tasks.items():
                if stress is None or _is_plain_picture(infos[task]):
                    way = infos[task].label if stress is None else f"{infos[task].label}, {stress.replace('_', ' ')}"
                    role = infos[task].role
                    yield Passage(modality, name, task, stress, way, role, distance, found.tendency[task])


def _is_plain_picture(info: TaskInfo) -> bool:
    return info.modality is Modality.image and info.probe_of is None


def _log(run: Path, stress: str | None, modality: str) -> EvalLog:
    log = read_log(run / results_folder(stress) / LOG.name)
    found = None if log.manifest is None else log.manifest.forget_modality
    if found != modality:
        raise UserError(
            f"{log.path} is an evaluation where {found or 'nothing known'} was to be forgotten, but stands under "
            f"experiments.{modality}; give each experiment under its own forget_modality."
        )
    return log


def _cell(passage: Passage | None) -> Cell:
    if passage is None:
        return Cell("")
    verdict = {LEAK: " leak", KEPT: " kept"}.get(passage.verdict, "")
    return Cell(f"{passage.shift.value:+z.3f}{verdict}", f"{between(passage.shift)}; D {shown(passage.distance.value)}")


def _row(passage: Passage, base: Passage) -> Row:
    asked = {"Forgotten": passage.modality, "Method": passage.model, "Probe": passage.way, "Task": passage.task}
    left = passage.shift.value / base.shift.value if base.verdict == LEAK else None
    return {
        **asked,
        "Stress": passage.stress,
        "Role": passage.role.value,
        **interval_columns("D", passage.distance),
        **interval_columns("Shift", passage.shift),
        "Leak": passage.verdict,
        "Of Base": left,
    }


def _figure(cfg: LeakageConfig, places: Mapping[tuple[str, str, str], Passage], ways: Sequence[str]) -> Picture:
    """Return the heat map: a panel per model."""
    panels = []
    for model in (BASE, *cfg.methods):
        rows = [[places.get((model, modality, way)) for way in ways] for modality in cfg.experiments]
        panels.append(figure.Panel(model, [[None if p is None else _drawn(p) for p in row] for row in rows]))
    leaks = [f"{p.model} on {p.way} where {p.modality} was forgotten" for p in places.values() if p.verdict == LEAK]
    return picture(
        "leakage",
        "What still leads to what was forgotten",
        "A panel per model, a row per forgotten modality. Number and colour: shift from gold. Framed: a leak. In grey "
        "letters: kept, since that was not to be forgotten.",
        f"Heat maps of the shift from gold; leaks: {'; '.join(leaks) or 'none'}. All numbers are in the table.",
        lambda theme: figure.draw(panels, list(cfg.experiments), ways, theme),
    )


def _drawn(passage: Passage) -> figure.Square:
    return figure.Square(passage.shift.value, leak=passage.verdict == LEAK, kept=passage.verdict == KEPT)


if __name__ == "__main__":
    launch("leakage", LeakageConfig, main)

"""The probes of a report: whether what was forgotten comes back when it is asked for in another way."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from unlearn.config.schema import Metrics
from unlearn.metrics.bootstrap import Interval
from unlearn.metrics.columns import interval_columns
from unlearn.metrics.manifest import COMPARED, TaskInfo
from unlearn.metrics.table import Row
from unlearn.report.figures import probes as figure
from unlearn.report.gallery import picture
from unlearn.report.page import Picture, Section
from unlearn.report.runs import Model
from unlearn.report.study import Study
from unlearn.report.tables import Cell, Line, Table, between, shown

PLAIN = "as trained"
"""What the figure calls the question that is no probe's."""
READING = (
    "Each task stands above its probes, which ask about the same people for the same answers in another way. No probe "
    "has a part in a D, a utility or any other number outside this section.",
    "D is the distance to gold on the task, the mean over its scores; the shift is their signed difference, model "
    "minus gold. In brackets: 95% intervals over people.",
    "On a forget task a shift above 0 says that the model, asked in this way, still knows what gold does not. Near "
    "gold on the plain task and above it on a probe: the knowledge was hidden, not lost.",
    "Look at base first: where base itself is like gold, the probe reaches nothing that could be forgotten.",
)


def probes(study: Study) -> Iterator[Section]:
    """Yield the section of a study's probes; none where nothing was probed, or where published metrics are reported."""
    # Holdout people have no distances.
    tasks = probed({name: info for name, info in study.infos.items() if info.role in COMPARED})
    if study.metrics is not Metrics.correct or not tasks:
        return
    models = [model for model in study.compared if study.distances(model) is not None]
    names = [name for of_task in tasks.values() for name in of_task]
    lines = [Line(model.name, model.kind, tuple(_cell(study, model, name) for name in names)) for model in models]
    table = Table(tuple(study.infos[name].label for name in names), tuple(lines))
    rows = [_row(study, model, name) for name in names for model in models]
    yield Section("probes", "Probes", READING, table, rows, [_figure(study, models, tasks)])


def probed(infos: Mapping[str, TaskInfo]) -> dict[str, list[str]]:
    """Return every task that has probes, in the order of the evaluation: its name, if it was evaluated, then theirs."""
    ways: dict[str, list[str]] = {name: [name] for name in infos}
    for name, info in infos.items():
        if info.probe_of is not None:
            ways.setdefault(info.probe_of, []).append(name)
    return {task: names for task, names in ways.items() if names != [task]}


def _measures(study: Study, model: Model, task: str) -> tuple[Interval, Interval]:
    """Return D and the mean shift of one of the models that have distances."""
    found = study.distances(model)
    assert found is not None, f"{model.name} has no gold to be compared with"
    return found.tasks[task], found.tendency[task]


def _cell(study: Study, model: Model, task: str) -> Cell:
    distance, shift = _measures(study, model, task)
    return Cell(shown(distance.value), f"{between(distance)}; shift {shift.value:+z.3f} {between(shift)}")


def _row(study: Study, model: Model, task: str) -> Row:
    info = study.infos[task]
    distance, shift = _measures(study, model, task)
    means = {score.value: float(np.mean(values)) for score, values in study.samples(model)[task].items()}
    asked = {"Method": model.name, "Task": task, "Probe Of": info.probe_of, "Role": info.role.value}
    return {**asked, **interval_columns("D", distance), **interval_columns("Shift", shift), **means}


def _figure(study: Study, models: Sequence[Model], tasks: Mapping[str, Sequence[str]]) -> Picture:
    panels = [_panel(study, models, twin, names) for twin, names in tasks.items()]
    names, kinds = [model.name for model in models], [model.kind for model in models]
    return picture(
        "probes",
        "The same, asked in other ways",
        "Shift from gold, which is the line at 0, with its 95% interval over people: to the right of the line a model "
        "knows more than gold when it is asked in that way.",
        f"Dot plots of the shifts of {', '.join(names)} on {', '.join(panel.title for panel in panels)} and on their "
        "probes; the numbers are in the table.",
        lambda theme: figure.draw(panels, names, kinds, theme),
    )


def _panel(study: Study, models: Sequence[Model], twin: str, names: Sequence[str]) -> figure.Panel:
    title = study.infos[twin].label if twin in study.infos else twin
    ways = {
        PLAIN if name == twin else study.infos[name].label.removeprefix(f"{title}, "): [
            _measures(study, model, name)[1] for model in models
        ]
        for name in names
    }
    return figure.Panel(title, ways)

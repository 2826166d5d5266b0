"""Robustness in a report: how far every model is from gold once both were relearned, rounded or exchanged alike."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from unlearn.config.schema import Metrics
from unlearn.errors import UserError
from unlearn.metrics.bootstrap import Interval
from unlearn.metrics.columns import DISTANCE_COLUMNS, interval_columns
from unlearn.metrics.comparison import task_infos
from unlearn.metrics.distance import Comparison, Distances, compare
from unlearn.metrics.logs import EvalLog, read_log
from unlearn.metrics.manifest import Role, TaskInfo, results_folder
from unlearn.metrics.samples import Score, sample_scores
from unlearn.metrics.table import Row, Value
from unlearn.report.figures import robustness as figure
from unlearn.report.gallery import picture
from unlearn.report.page import Picture, Section
from unlearn.report.runs import LOG, Kind, Model
from unlearn.report.study import Study
from unlearn.report.tables import Cell, Line, Table, between, shown

FORGET = DISTANCE_COLUMNS["D Forget"]
SCORES = {Score.rouge: "ROUGE Forget", Score.probability: "Prob. Forget"}
COLUMNS = ("D Forget Plain", "D Forget", "Shift Forget", *SCORES.values())
READING = (
    "Every model, golds too, was changed in the same way after its training and then evaluated: finetuned for a few "
    "steps (relearn), its weights rounded to 8 or 4 bits (int8, int4), or given base's projector.",
    "D Forget is the distance to gold under the same stress on the forgotten people, D Forget Plain that without "
    "stress on the same items: after relearning those that were not trained on. In brackets: 95% intervals over "
    "people.",
    "Further from gold than before with a shift above 0 (model minus gold): what was forgotten came back, so it was "
    "hidden and not lost. Gold learns and suffers too; knowledge that it gains as well is no sign of hidden knowledge.",
    "Look at base first: it forgot nothing, and where it is near gold under a stress, the stress hides the difference.",
)


@dataclass(frozen=True)
class Trial:
    """The models of a study under one stress.

    logs    of every model but the pretrained one, by name
    under   their comparison with golds under the same stress
    plain   that of the same models without stress, on the same items
    """

    stress: str
    logs: Mapping[str, EvalLog]
    under: Comparison
    plain: Comparison


def robustness(study: Study, stresses: Sequence[str]) -> Iterator[Section]:
    """Yield the section of a study's stresses; none without any, or where published metrics are reported.

    Raises UserError where an evaluation under stress is absent or not to be compared with the others.
    """
    if study.metrics is not Metrics.correct or not stresses:
        return
    models = [model for model in study.compared if model.kind is not Kind.pretrained]
    trials = [_trial(stress, models) for stress in stresses]
    rows = {(model.name, trial.stress): _row(model, trial) for trial in trials for model in models}
    names = [(stress, column) for stress in stresses for column in COLUMNS]
    lines = [Line(m.name, m.kind, tuple(_cell(rows[m.name, s], column) for s, column in names)) for m in models]
    table = Table(tuple(f"{stress}: {column}" for stress, column in names), tuple(lines))
    figures = [_figure(models, trials)]
    yield Section("robustness", "Robustness", READING, table, list(rows.values()), figures, heading="Number")


def _trial(stress: str, models: Sequence[Model]) -> Trial:
    """Return the models under a stress, on those of their items that the study is about."""
    found, same = {}, {}
    for model in models:
        found[model.name] = _within(_log(model, stress), model.log)
        same[model.name] = _within(model.log, found[model.name])
    golds = [model.name for model in models if model.kind is Kind.gold]
    under, plain = (_compared(logs, golds) for logs in (found, same))
    return Trial(stress, found, under, plain)


def _log(model: Model, stress: str) -> EvalLog:
    log = read_log(model.folder / results_folder(stress) / LOG.name)
    under = log.manifest.stress if log.manifest is not None else None
    if under is None or under.get("name") != stress:
        raise UserError(f"{log.path} is no evaluation under {stress}; evaluate {model.name} with stress={stress}.")
    return log


def _within(log: EvalLog, other: EvalLog) -> EvalLog:
    """Return `log` on the items that `other` has too. Raises UserError where a task has none of them."""
    lacking = sorted(set(log.tasks) ^ set(other.tasks))
    if lacking:
        raise UserError(f"{log.path} and {other.path} differ in the tasks {', '.join(lacking)}; evaluate both again.")
    tasks = {name: task.only(set(other.tasks[name].items)) for name, task in log.tasks.items()}
    bare = [name for name, task in tasks.items() if not task.items]
    if bare:
        raise UserError(
            f"{log.path} and {other.path} have no item of {', '.join(bare)} in common; evaluate both on the same data, "
            f"or leave the stress out."
        )
    return replace(log, tasks=tasks)


def _compared(logs: Mapping[str, EvalLog], golds: Sequence[str]) -> Comparison:
    others = {name: log for name, log in logs.items() if name not in golds}
    return compare(others, {name: logs[name] for name in golds})


def _row(model: Model, trial: Trial) -> Row:
    plain, under = (_distances(comparison, model) for comparison in (trial.plain, trial.under))
    log = trial.logs[model.name]
    infos = task_infos(log)
    band = trial.under.band
    return {
        "Method": model.name,
        "Stress": trial.stress,
        **interval_columns("D Forget Plain", None if plain is None else plain.sets.get(FORGET)),
        **interval_columns("D Forget", None if under is None else under.sets.get(FORGET)),
        "D Forget Gold": None if band is None else band.get(FORGET),
        "Shift Forget": None if under is None else _shift(under, infos),
        **{column: _mean(log, infos, score) for score, column in SCORES.items()},
    }


def _distances(comparison: Comparison, model: Model) -> Distances | None:
    """Return how far a model is from gold; None for a gold that is alone."""
    return {**comparison.golds, **comparison.models}.get(model.name)


def _shift(found: Distances, infos: Mapping[str, TaskInfo]) -> float | None:
    shifts = [shift.value for (name, _), shift in found.shifts.items() if infos[name].counts_as(Role.forget)]
    return fmean(shifts) if shifts else None


def _mean(log: EvalLog, infos: Mapping[str, TaskInfo], score: Score) -> float | None:
    """Return the mean over the forget tasks of the items' mean score, from 0 to 1."""
    tasks = [sample_scores(task, infos[name]) for name, task in log.tasks.items() if infos[name].counts_as(Role.forget)]
    means = [float(scores[score].mean()) for scores in tasks if score in scores]
    return fmean(means) if means else None


def _cell(row: Row, column: str) -> Cell:
    value: Value = row[column]
    if value is None or f"{column} Low" not in row:
        return Cell(shown(value))
    low, high = row[f"{column} Low"], row[f"{column} High"]
    return Cell(shown(value), f"[{low}]" if isinstance(low, str) else f"[{shown(low)}, {shown(high)}]")


def _figure(models: Sequence[Model], trials: Sequence[Trial]) -> Picture:
    panels = [
        figure.Panel(
            trial.stress,
            [_pair(model, trial) for model in models],
            None if trial.under.band is None else trial.under.band.get(FORGET),
        )
        for trial in trials
    ]
    places = "; ".join(
        f"{trial.stress}: "
        + ", ".join(f"{m.name} {_in_words(_pair(m, trial))}" for m in models if _pair(m, trial) is not None)
        for trial in trials
    )
    return picture(
        "robustness",
        "Distance to gold under stress",
        "D Forget without stress (hollow) and under it (filled, with its 95% interval over people), each to golds "
        "treated alike; 0 is gold. A mark that moves to the right, with a shift above 0 in the table: it "
        "came back."
        + (" Shaded: as far as one gold seed is from the others under the stress." if trials[0].under.band else ""),
        f"Dot plots of D Forget without and under each stress: {places}.",
        lambda theme: figure.draw(panels, [m.name for m in models], [m.kind for m in models], theme),
    )


def _pair(model: Model, trial: Trial) -> tuple[float, Interval] | None:
    plain, under = (_distances(comparison, model) for comparison in (trial.plain, trial.under))
    if plain is None or under is None or FORGET not in under.sets:
        return None
    return plain.sets[FORGET].value, under.sets[FORGET]


def _in_words(pair: tuple[float, Interval] | None) -> str:
    return "" if pair is None else f"{shown(pair[0])} to {shown(pair[1].value)} {between(pair[1])}"

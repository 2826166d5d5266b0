"""The figures of a report with their words: title, what to see, and what is drawn for those who cannot see it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from unlearn.config.schema import Metrics
from unlearn.metrics.columns import DISTANCE_COLUMNS
from unlearn.metrics.distance import Distances
from unlearn.metrics.manifest import Role
from unlearn.metrics.samples import Score
from unlearn.metrics.scores import Floats
from unlearn.report.figures import costs, curves, distances, distributions, plane, trials
from unlearn.report.figures.style import DARK, LIGHT, Theme, render
from unlearn.report.page import Picture
from unlearn.report.rows import Entry
from unlearn.report.runs import Curve, loss_curves
from unlearn.report.study import Study
from unlearn.report.sweep import Sweep
from unlearn.report.tables import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLANE = (Role.forget, Role.retain)
"""Roles on whose tasks the models have a place in the plane."""
PLANE_TITLE = "Forgetting against keeping"

Samples = Mapping[str, Mapping[str, Mapping[Score, Floats]]]
"""Per-sample scores in [0, 1] by model, task and score."""


def gallery(study: Study, entries: Sequence[Entry]) -> Iterator[Picture]:
    """Yield the figures of a study in the order of the page. Published metrics know no distances."""
    if study.metrics is Metrics.correct:
        yield from _knowledge(study, entries)
    if study.sweep is not None:
        yield _trials(study.sweep)
    runs = {model.name: terms for model in study.models if (terms := loss_curves(model.folder))}
    if runs:
        yield _curves(runs)
    yield _costs(entries)


def _knowledge(study: Study, entries: Sequence[Entry]) -> Iterator[Picture]:
    samples = {model.name: study.samples(model) for model in study.compared}
    if not undrawn(study):
        yield _plane(study, samples)
    yield _distances(study, entries)
    forgotten = [task for task, info in study.infos.items() if info.counts_as(Role.forget)]
    for number, task in enumerate(forgotten):
        yield _distributions(study, samples, task, folded=number > 0)


def undrawn(study: Study) -> list[str]:
    """Return the figures that a study has nothing for, a sentence each."""
    lacking = [role.value for role in PLANE if not any(info.counts_as(role) for info in study.infos.values())]
    if study.metrics is not Metrics.correct or not lacking:
        return []
    return [f"{PLANE_TITLE} is not drawn: no task of the role {' and none of the role '.join(lacking)} was evaluated."]


def picture(
    name: str, title: str, caption: str, alt: str, draw: Callable[[Theme], "Figure"], folded: bool = False
) -> Picture:
    """Return a figure drawn for light and for dark paper."""
    return Picture(name, title, caption, alt, render(draw, LIGHT), render(draw, DARK), folded)


def _plane(study: Study, samples: Samples) -> Picture:
    points = [
        plane.Point(m.name, m.kind, *(_mean(study, samples[m.name], role) for role in PLANE)) for m in study.compared
    ]
    places = "; ".join(f"{point.name} {point.forget:.2f} and {point.retain:.2f}" for point in points)
    return picture(
        "forget_retain",
        PLANE_TITLE,
        "Mean score of each model on the people whom the distances are about, where 1 is perfect knowledge. The lines "
        "are gold's mean, the band is the range of its seeds (from three on). The goal is where the lines cross: left "
        "of gold's line a model knows less than one that never saw the people, which is damage and not better "
        "forgetting.",
        f"Scatter plot of the mean score on forgotten people and on retained people: {places}.",
        lambda theme: plane.draw(points, theme),
    )


def _mean(study: Study, scores: Mapping[str, Mapping[Score, Floats]], role: Role) -> float:
    counted = [of_task for task, of_task in scores.items() if study.infos[task].counts_as(role)]
    return float(np.mean([np.mean(values) for of_task in counted for values in of_task.values()]))


def _distances(study: Study, entries: Sequence[Entry]) -> Picture:
    band = study.comparison.band or {}
    places = "; ".join(
        f"{entry.name} {', '.join(f'{column} {shown(entry.row.get(column))}' for column in DISTANCE_COLUMNS)}"
        for entry in entries
    )
    return picture(
        "distances",
        "Distance to gold",
        "A mark per model, its line is the 95% interval over people; 0 is gold."
        + (" Shaded: as far as one gold seed is from the others." if band else ""),
        f"Dot plot of the distances to gold: {places}.",
        lambda theme: distances.draw(entries, band, theme),
    )


def _distributions(study: Study, samples: Samples, task: str, folded: bool) -> Picture:
    spreads = [
        distributions.Spread(m.name, m.kind, samples[m.name][task], _notes(study.comparison.models.get(m.name), task))
        for m in study.compared
    ]
    notes = "; ".join(
        f"{s.name} {', '.join(f'{score.value} {note}' for score, note in s.notes.items())}" for s in spreads if s.notes
    )
    return picture(
        f"scores_{task}",
        f"Scores on {study.infos[task].label}",
        "Filled: the items' scores under the model; line: under gold, all seeds together. A model that forgot like "
        "gold fills the line. d is their distance, shift the signed mean difference: below 0 the model knows less than "
        "gold. Each histogram is drawn to its own height.",
        f"Histograms of every model beside gold's: {notes}.",
        lambda theme: distributions.draw(spreads, theme),
        folded,
    )


def _notes(found: Distances | None, task: str) -> dict[Score, str]:
    if found is None:
        return {}
    scores = [score for name, score in found.scores if name == task]
    places = {score: (found.scores[task, score].value, found.shifts[task, score].value) for score in scores}
    return {score: f"d {d:.2f}, shift {shift:+z.2f}" for score, (d, shift) in places.items()}


def _trials(sweep: Sweep) -> Picture:
    chosen = "; ".join(
        f"{t.method} {', '.join(f'{column} {value:.3f}' for column, value in t.distances.items())}"
        for t in sweep.trials
        if t.chosen
    )
    return picture(
        "trials",
        "The sweep's trials",
        "Every setting that was tried, on the people that settings were chosen on. Line: the frontier of the method's "
        "trials; dotted: that of all methods; ring: the setting with the smallest D Max, which was chosen.",
        f"Scatter plots of D Retain against D Forget, one per method; chosen: {chosen}.",
        lambda theme: trials.draw(sweep, theme),
    )


def _curves(runs: Mapping[str, Mapping[str, Curve]]) -> Picture:
    last = "; ".join(
        f"{name} {', '.join(f'{term} {curve[-1][1]:.2f}' for term, curve in terms.items())}"
        for name, terms in runs.items()
    )
    return picture(
        "training",
        "Training curves",
        "Every loss term as it was logged, before its weight. Each panel has its own scale: terms of different methods "
        "do not compare.",
        f"Line plots of the loss terms of every run by optimiser step; last values: {last}.",
        lambda theme: curves.draw(runs, theme),
        folded=True,
    )


def _costs(entries: Sequence[Entry]) -> Picture:
    return picture(
        "cost",
        "Cost",
        "What training and evaluation took: wall seconds, peak memory (without a GPU that of the whole process), "
        "forward passes (every generated token is one).",
        "Bars of wall seconds, peak memory and forwards of training and of evaluation; the numbers are in the table.",
        lambda theme: costs.draw(entries, theme),
    )

"""The figures of a report with their words: title, what to see, and what is drawn for those who cannot see it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from unlearn.metrics.manifest import Role, TaskInfo
from unlearn.report.figures import costs, curves, distributions, plane
from unlearn.report.figures.style import DARK, LIGHT, Theme, render
from unlearn.report.page import Picture
from unlearn.report.rows import Entry, Samples
from unlearn.report.runs import Curve, Model, loss_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gallery(
    models: Sequence[Model], entries: Sequence[Entry], samples: Samples, infos: Mapping[str, TaskInfo]
) -> Iterator[Picture]:
    """Yield the figures of `models` in the order of the page.

    samples  per-sample scores in [0, 1] by model, task and score
    """
    yield _plane(models, samples, infos)
    forgotten = [task for task, info in infos.items() if info.role is Role.forget]
    for number, task in enumerate(forgotten):
        yield _distributions(models, samples, task, infos[task].label, folded=number > 0)
    runs = {model.name: curves for model in models if (curves := loss_curves(model.folder))}
    if runs:
        yield _curves(runs)
    yield _costs(entries)


def _picture(
    name: str, title: str, caption: str, alt: str, draw: Callable[[Theme], "Figure"], folded: bool = False
) -> Picture:
    return Picture(name, title, caption, alt, render(draw, LIGHT), render(draw, DARK), folded)


def _plane(models: Sequence[Model], samples: Samples, infos: Mapping[str, TaskInfo]) -> Picture:
    points = [
        plane.Point(m.name, m.kind, *(_mean(samples[m.name], infos, role) for role in (Role.forget, Role.retain)))
        for m in models
    ]
    places = "; ".join(f"{point.name} {point.forget:.2f} and {point.retain:.2f}" for point in points)
    return _picture(
        "forget_retain",
        "Forgetting against keeping",
        "Mean per-sample score of each model, 1 is perfect knowledge. The lines are gold's mean, the band is the range "
        "of its seeds (from three on). The goal is where the lines cross: left of gold's line a model knows less than "
        "one that never saw the people, which is damage and not better forgetting.",
        f"Scatter plot of the mean score on forgotten people and on retained people: {places}.",
        lambda theme: plane.draw(points, theme),
    )


def _mean(scores: Mapping[str, Mapping[str, np.ndarray]], infos: Mapping[str, TaskInfo], role: Role) -> float:
    means = [np.mean(v) for task, of_task in scores.items() if infos[task].role is role for v in of_task.values()]
    return float(np.mean(means))


def _distributions(models: Sequence[Model], samples: Samples, task: str, label: str, folded: bool) -> Picture:
    spreads = [distributions.Spread(model.name, model.kind, samples[model.name][task]) for model in models]
    medians = "; ".join(
        f"{s.name} {', '.join(f'{score} {np.median(values):.2f}' for score, values in s.scores.items())}"
        for s in spreads
    )
    return _picture(
        f"scores_{task}",
        f"Scores on {label}",
        "Filled: the items' scores under the model; line: under gold, all seeds together. A model that forgot like "
        "gold fills the line. Each histogram is drawn to its own height.",
        f"Histograms of every model beside gold's; medians: {medians}.",
        lambda theme: distributions.draw(spreads, theme),
        folded,
    )


def _curves(runs: Mapping[str, Mapping[str, Curve]]) -> Picture:
    last = "; ".join(
        f"{name} {', '.join(f'{term} {curve[-1][1]:.2f}' for term, curve in terms.items())}"
        for name, terms in runs.items()
    )
    return _picture(
        "training",
        "Training curves",
        "Every loss term as it was logged, before its weight. Each panel has its own scale: terms of different methods "
        "do not compare.",
        f"Line plots of the loss terms of every run by optimiser step; last values: {last}.",
        lambda theme: curves.draw(runs, theme),
        folded=True,
    )


def _costs(entries: Sequence[Entry]) -> Picture:
    return _picture(
        "cost",
        "Cost",
        "What training and evaluation took: wall seconds, peak memory (without a GPU that of the whole process), "
        "forward passes (every generated token is one).",
        "Bars of wall seconds, peak memory and forwards of training and of evaluation; the numbers are in the table.",
        lambda theme: costs.draw(entries, theme),
    )

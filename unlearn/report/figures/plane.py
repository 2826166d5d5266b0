"""What each model still knows of the forgotten people, against what it kept of the others; gold is the goal."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from unlearn.report.figures.labels import place_labels
from unlearn.report.figures.style import MARKERS, Theme, new_figure
from unlearn.report.runs import Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAND_SEEDS = 3
"""Gold seeds from which on their spread says something."""


@dataclass(frozen=True)
class Point:
    """A model's mean per-sample score on the forget sets and on the retain sets, both in [0, 1]."""

    name: str
    kind: Kind
    forget: float
    retain: float


def draw(points: Sequence[Point], theme: Theme) -> "Figure":
    """Return the scatter plot: lines through gold's mean, a band over its seeds' range, a name at every other mark."""
    figure = new_figure(5.6)
    axes = figure.add_subplot()
    golds = [point for point in points if point.kind is Kind.gold]
    goal = fmean(point.forget for point in golds), fmean(point.retain for point in golds)
    _mark_gold(axes, golds, goal, theme)
    for point in points:
        axes.scatter(
            point.forget,
            point.retain,
            s=130 if point.kind is Kind.gold else 60,
            marker=MARKERS[point.kind],
            color=theme.kinds[point.kind],
            edgecolor=theme.paper,
            linewidth=0.7,
            zorder=3,
        )
    axes.margins(x=0.09, y=0.12)
    axes.set_xlabel("still known of the forgotten people (gold's line is the goal, not 0)")
    axes.set_ylabel("kept of the other people")
    axes.grid(True, linewidth=0.6)
    named = [*golds[:1], *(point for point in points if point.kind is not Kind.gold)]
    places = [(p.forget, p.retain) for p in named]
    colours = [theme.kinds[p.kind] for p in named]
    place_labels(axes, [p.name for p in named], places, colours, lines=((goal[0], None), (None, goal[1])))
    return figure


def _mark_gold(axes: "Axes", golds: Sequence[Point], goal: tuple[float, float], theme: Theme) -> None:
    colour = theme.kinds[Kind.gold]
    forget, retain = [point.forget for point in golds], [point.retain for point in golds]
    axes.axvline(goal[0], color=colour, linewidth=1, zorder=1)
    axes.axhline(goal[1], color=colour, linewidth=1, zorder=1)
    if len(golds) >= BAND_SEEDS:
        axes.axvspan(min(forget), max(forget), color=colour, alpha=0.18, linewidth=0, zorder=0)
        axes.axhspan(min(retain), max(retain), color=colour, alpha=0.18, linewidth=0, zorder=0)

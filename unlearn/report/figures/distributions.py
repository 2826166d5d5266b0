"""How a model's scores are spread over the items of one task, each model's beside gold's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from unlearn.metrics.samples import Score
from unlearn.metrics.scores import Floats
from unlearn.report.figures.style import Theme, new_figure
from unlearn.report.runs import Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {
    Score.probability: "probability of the truth",
    Score.rouge: "ROUGE-L recall",
    Score.preference: "q = R / (1 + R), R the truth ratio",
}
BINS = np.linspace(0, 1, 26)
"""Edges of the histograms, which only show the distributions; no number comes from them."""


@dataclass(frozen=True)
class Spread:
    """A model's per-sample scores of one task: arrays [n] in [0, 1].

    notes  what is written beside a score's histogram
    """

    name: str
    kind: Kind
    scores: Mapping[Score, Floats]
    notes: Mapping[Score, str] = field(default_factory=dict)


def draw(spreads: Sequence[Spread], theme: Theme) -> "Figure":
    """Return one row per model and one column per score: the model's histogram filled, that of all golds as a line."""
    golds = [spread for spread in spreads if spread.kind is Kind.gold]
    shown = [spread for spread in spreads if spread.kind is not Kind.gold]
    names = list(golds[0].scores)
    figure = new_figure(0.75 + 0.6 * len(shown))
    grid = figure.subplots(len(shown), len(names), squeeze=False, sharex=True)
    for column, score in enumerate(names):
        pooled = np.concatenate([gold.scores[score] for gold in golds])
        for row, spread in enumerate(shown):
            axes = grid[row][column]
            _panel(axes, spread.scores[score], pooled, theme.kinds[spread.kind], theme)
            axes.text(1, 1.42, spread.notes.get(score, ""), ha="right", va="top", fontsize=8, color=theme.muted)
        grid[0][column].set_title(TITLES[score], loc="left")
    for row, spread in enumerate(shown):
        grid[row][0].set_ylabel(
            spread.name, rotation=0, horizontalalignment="right", verticalalignment="center",
            color=theme.kinds[spread.kind],
        )  # fmt: skip
    return figure


def _panel(axes: "Axes", values: Floats, gold: Floats, colour: str, theme: Theme) -> None:
    """Draw shares of items, each histogram to its own height: most lie in one bin for some and in all for others."""
    for sample, style in (
        (values, {"fill": True, "color": colour, "alpha": 0.55, "linewidth": 0}),
        (gold, {"fill": False, "edgecolor": theme.kinds[Kind.gold], "linewidth": 1.4}),
    ):
        counts = np.histogram(sample, BINS)[0]
        axes.stairs(counts / counts.max(), BINS, **style)
    axes.set(xlim=(0, 1), ylim=(0, 1.45), yticks=[], xticks=[0, 0.5, 1])
    axes.spines["left"].set_visible(False)

"""How a model's scores are spread over the items of one task, each model's beside gold's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from unlearn.metrics.samples import Score
from unlearn.metrics.scores import Floats
from unlearn.report.figures.style import Theme, name_rows, new_figure
from unlearn.report.runs import Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {
    Score.probability: "probability of the truth",
    Score.rouge: "ROUGE-L recall",
    Score.preference: "q of the truth ratio",
}
BINS = np.linspace(0, 1, 26)
"""Edges of the histograms, which only show the distributions; no number comes from them."""
HEIGHT = 0.62
"""Of the highest bar, in rows; above it is room for the note."""


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
    scores = list(golds[0].scores)
    figure = new_figure(0.75 + 0.6 * len(shown))
    # One panel for all rows of a score: a panel per row costs seconds to lay out where there are many models.
    panels = figure.subplots(1, len(scores), squeeze=False, sharey=True)[0]
    for axes, score in zip(panels, scores, strict=True):
        pooled = np.concatenate([gold.scores[score] for gold in golds])
        for row, spread in enumerate(shown):
            _row(axes, row, (spread, score), pooled, theme)
        axes.set_title(TITLES[score], loc="left")
        axes.set(xlim=(0, 1), xticks=[0, 0.5, 1])
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    name_rows(panels[0], [spread.name for spread in shown], [spread.kind for spread in shown], theme)
    return figure


def _row(axes: "Axes", row: int, of: tuple[Spread, Score], gold: Floats, theme: Theme) -> None:
    """Draw shares of items, each histogram to its own height: most lie in one bin for some and in all for others."""
    spread, score = of
    floor = row + 0.4
    for sample, style in (
        (spread.scores[score], {"fill": True, "color": theme.kinds[spread.kind], "alpha": 0.55, "linewidth": 0}),
        (gold, {"fill": False, "edgecolor": theme.kinds[Kind.gold], "linewidth": 1.4}),
    ):
        counts = np.histogram(sample, BINS)[0]
        # Rows are numbered downwards, so what is higher has the smaller number.
        axes.stairs(floor - HEIGHT * counts / counts.max(), BINS, baseline=floor, **style)
    axes.axhline(floor, color=theme.muted, linewidth=0.8)
    axes.text(1, row - 0.5, spread.notes.get(score, ""), ha="right", va="top", fontsize=8, color=theme.muted)

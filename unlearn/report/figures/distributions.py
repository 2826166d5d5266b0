"""How a model's scores are spread over the items of one task, each model's beside gold's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from unlearn.metrics.samples import Score
from unlearn.metrics.scores import Floats
from unlearn.report.figures.histograms import draw_row, filled, outlined
from unlearn.report.figures.style import Theme, name_rows, new_figure
from unlearn.report.runs import Kind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {
    Score.probability: "probability of the truth",
    Score.rouge: "ROUGE-L recall",
    Score.preference: "q of the truth ratio",
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
    scores = list(golds[0].scores)
    figure = new_figure(0.75 + 0.6 * len(shown))
    # One panel for all rows of a score: a panel per row costs seconds to lay out where there are many models.
    panels = figure.subplots(1, len(scores), squeeze=False, sharey=True)[0]
    for axes, score in zip(panels, scores, strict=True):
        pooled = np.concatenate([gold.scores[score] for gold in golds])
        for row, spread in enumerate(shown):
            own = filled(spread.scores[score], theme.kinds[spread.kind])
            pair = (own, outlined(pooled, theme.kinds[Kind.gold]))
            draw_row(axes, row, pair, BINS, spread.notes.get(score, ""), theme)
        axes.set_title(TITLES[score], loc="left")
        axes.set(xlim=(0, 1), xticks=[0, 0.5, 1])
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    name_rows(panels[0], [spread.name for spread in shown], [spread.kind for spread in shown], theme)
    return figure

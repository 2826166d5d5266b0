"""What the likelihood ratio attack sees: the statistic of pictures of people who were forgotten or never seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unlearn.metrics.scores import Floats
from unlearn.report.figures.histograms import draw_row, filled, outlined
from unlearn.report.figures.style import Theme, name_rows, new_figure
from unlearn.report.runs import Kind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = np.linspace(-7, 7, 57)
"""Edges of the histograms: beyond 6.9 logits are clipped."""


@dataclass(frozen=True)
class Statistic:
    """A method's logits (metrics/faces/lira.py) in nats.

    inside   [n] of pictures by models that forgot their people
    outside  [m] of the same pictures by models that never saw them
    note     what is written beside the row
    """

    name: str
    kind: Kind
    inside: Floats
    outside: Floats
    note: str = ""


def draw(statistics: Sequence[Statistic], theme: Theme) -> "Figure":
    """Return one row per method: in models filled, out models as a line; where it forgot exactly the two are one."""
    figure = new_figure(1.1 + 0.6 * len(statistics))
    axes = figure.add_subplot()
    for row, of in enumerate(statistics):
        pair = (filled(of.inside, theme.kinds[of.kind]), outlined(of.outside, theme.ink))
        draw_row(axes, row, pair, BINS, of.note, theme)
    axes.set(xlim=(BINS[0], BINS[-1]))
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    name_rows(axes, [of.name for of in statistics], [of.kind for of in statistics], theme)
    figure.supxlabel("log-odds of the cosine to the person (filled: forgotten, line: never seen)", fontsize=10)
    return figure

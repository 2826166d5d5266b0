"""Histograms in the rows of one panel: what two samples look like, model after model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unlearn.metrics.scores import Floats
from unlearn.report.figures.style import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT = 0.62
"""Of the highest bar, in rows; above it is room for the note."""

Drawn = tuple[Floats, dict[str, Any]]
"""A sample and its look."""


def filled(values: Floats, colour: str) -> Drawn:
    """Return a sample to be drawn as an area."""
    return values, {"fill": True, "color": colour, "alpha": 0.55, "linewidth": 0}


def outlined(values: Floats, colour: str) -> Drawn:
    """Return a sample to be drawn as a line."""
    return values, {"fill": False, "edgecolor": colour, "linewidth": 1.4}


def draw_row(axes: "Axes", row: int, samples: Sequence[Drawn], bins: Floats, note: str, theme: Theme) -> None:
    """Draw shares of items, each histogram to its own height: most lie in one bin for some and in all for others."""
    floor = row + 0.4
    for values, style in samples:
        counts = np.histogram(values, bins)[0]
        # Rows are numbered downwards, so what is higher has the smaller number.
        axes.stairs(floor - HEIGHT * counts / counts.max(), bins, baseline=floor, **style)
    axes.axhline(floor, color=theme.muted, linewidth=0.8)
    axes.text(bins[-1], row - 0.5, note, ha="right", va="top", fontsize=8, color=theme.muted)

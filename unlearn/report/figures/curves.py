"""Training curves: every loss term of every run."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from unlearn.report.figures.style import Theme, panel_grid
from unlearn.report.runs import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 3
"""Panels in a row."""
MOST = 200
"""Points of a curve; a longer one is averaged over neighbouring steps."""


def draw(runs: Mapping[str, Mapping[str, Curve]], theme: Theme) -> "Figure":
    """Return one panel per run, with its own scale and its own legend: terms of different methods do not compare."""
    figure, panels = panel_grid(len(runs), ACROSS, height=2.4, margin=0.3)
    for axes, (name, curves) in zip(panels, runs.items(), strict=True):
        _panel(axes, name, curves, theme)
    figure.supxlabel("optimiser step", fontsize=10)
    return figure


def thinned(curve: Curve, most: int = MOST) -> tuple[Sequence[float], Sequence[float]]:
    """Return steps and values of at most `most` points, each the mean of a run of neighbouring steps."""
    parts = np.array_split(np.array(curve, dtype=np.float64), min(most, len(curve)))
    means = np.array([part.mean(axis=0) for part in parts])
    return means[:, 0], means[:, 1]


def _panel(axes: "Axes", name: str, curves: Mapping[str, Curve], theme: Theme) -> None:
    for number, (term, curve) in enumerate(curves.items()):
        colour = theme.series[number % len(theme.series)]
        # A second round of the colours is dashed.
        style = "-" if number < len(theme.series) else "--"
        axes.plot(*thinned(curve), color=colour, linestyle=style, linewidth=1.2, label=term)
    axes.grid(True, axis="y", linewidth=0.6)
    # Above the panel: inside it a legend of many terms covers their curves.
    above = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0, "borderpad": 0}
    axes.legend(title=name, alignment="left", ncols=2, fontsize=8, handlelength=1.2, **above)

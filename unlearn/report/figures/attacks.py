"""How well each membership attack tells the forgotten people from people that no model ever saw."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from unlearn.report.figures.dots import dots
from unlearn.report.figures.style import Theme
from unlearn.report.rows import Entry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHANCE = 0.5
"""The area under the ROC curve of an attack that tells nothing."""


def draw(entries: Sequence[Entry], columns: Mapping[str, str], theme: Theme) -> "Figure":
    """Return one panel per attack, its name mapped to its column: the area and its 95% interval per model."""
    figure, panels = dots(entries, columns, theme)
    for axes in panels:
        axes.axvline(CHANCE, color=theme.muted, linewidth=1, linestyle=":", zorder=1)
    panels[0].set(xlim=(-0.04, 1.04), xticks=[0, CHANCE, 1])
    figure.supxlabel("area under the ROC curve (1: looks trained on, dotted: nothing can be told)", fontsize=10)
    return figure

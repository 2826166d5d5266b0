"""Distance to gold of every model on every set, with its interval and the band in which golds differ themselves."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from unlearn.metrics.columns import DISTANCE_COLUMNS
from unlearn.report.figures.dots import dots
from unlearn.report.figures.style import Theme
from unlearn.report.rows import Entry
from unlearn.report.runs import Kind

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(entries: Sequence[Entry], band: Mapping[str, float], theme: Theme) -> "Figure":
    """Return one panel per set that was evaluated: a mark and a 95% interval per model.

    band  the largest distance of a gold to the others, by set; empty with too few golds
    """
    columns = [column for column in DISTANCE_COLUMNS if any(entry.row.get(column) is not None for entry in entries)]
    figure, panels = dots(entries, {column: column for column in columns}, theme)
    for axes, column in zip(panels, columns, strict=True):
        key = DISTANCE_COLUMNS[column]
        if key in band:
            axes.axvspan(0, band[key], color=theme.kinds[Kind.gold], alpha=0.25, linewidth=0)
    panels[0].set_xlim(left=0)
    return figure

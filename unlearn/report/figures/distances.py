"""Distance to gold of every model on every set, with its interval and the band in which golds differ themselves."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from unlearn.metrics.columns import DISTANCE_COLUMNS
from unlearn.report.figures.style import MARKERS, Theme, name_rows, new_figure
from unlearn.report.rows import Entry
from unlearn.report.runs import Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(entries: Sequence[Entry], band: Mapping[str, float], theme: Theme) -> "Figure":
    """Return one panel per set that was evaluated: a mark and a 95% interval per model.

    band  the largest distance of a gold to the others, by set; empty with too few golds
    """
    columns = [column for column in DISTANCE_COLUMNS if any(entry.row.get(column) is not None for entry in entries)]
    figure = new_figure(0.9 + 0.36 * len(entries))
    panels = figure.subplots(1, len(columns), squeeze=False, sharex=True, sharey=True)[0]
    for axes, column in zip(panels, columns, strict=True):
        key = DISTANCE_COLUMNS[column]
        if key in band:
            axes.axvspan(0, band[key], color=theme.kinds[Kind.gold], alpha=0.25, linewidth=0)
        for place, entry in enumerate(entries):
            _mark(axes, place, entry, column, theme)
        axes.set_title(column, loc="left")
        axes.grid(True, axis="x", linewidth=0.6)
        axes.tick_params(axis="y", length=0)
    panels[0].set_xlim(left=0)
    name_rows(panels[0], [entry.name for entry in entries], [entry.kind for entry in entries], theme)
    return figure


def _mark(axes: "Axes", place: int, entry: Entry, column: str, theme: Theme) -> None:
    value, low, high = (entry.row.get(f"{column}{end}") for end in ("", " Low", " High"))
    if value is None:
        return
    colour = theme.kinds[entry.kind]
    if isinstance(low, float):
        axes.hlines(place, low, high, color=colour, linewidth=2)
    axes.scatter(value, place, marker=MARKERS[entry.kind], s=34, color=colour, zorder=3)

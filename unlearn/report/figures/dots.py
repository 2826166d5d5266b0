"""Panels of dots: a row per model, in each panel its value in one column of the table, with the 95% interval."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from unlearn.report.figures.style import MARKERS, Theme, name_rows, new_figure
from unlearn.report.rows import Entry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def dots(entries: Sequence[Entry], columns: Mapping[str, str], theme: Theme) -> tuple["Figure", list["Axes"]]:
    """Return the figure and its panels, one per column; `columns` maps the panels' titles to them."""
    figure = new_figure(0.9 + 0.36 * len(entries))
    panels = list(figure.subplots(1, len(columns), squeeze=False, sharex=True, sharey=True)[0])
    for axes, (title, column) in zip(panels, columns.items(), strict=True):
        for place, entry in enumerate(entries):
            _mark(axes, place, entry, column, theme)
        axes.set_title(title, loc="left")
        axes.grid(True, axis="x", linewidth=0.6)
        axes.tick_params(axis="y", length=0)
    name_rows(panels[0], [entry.name for entry in entries], [entry.kind for entry in entries], theme)
    return figure, panels


def _mark(axes: "Axes", place: int, entry: Entry, column: str, theme: Theme) -> None:
    value, low, high = (entry.row.get(f"{column}{end}") for end in ("", " Low", " High"))
    if value is None:
        return
    colour = theme.kinds[entry.kind]
    if isinstance(low, float):
        axes.hlines(place, low, high, color=colour, linewidth=2)
    axes.scatter(value, place, marker=MARKERS[entry.kind], s=34, color=colour, zorder=3)

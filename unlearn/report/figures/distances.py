"""Distance to gold of every model on every set, with its interval and the band in which golds differ themselves."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from unlearn.report.figures.style import MARKERS, Theme, name_rows, new_figure
from unlearn.report.rows import DISTANCES, HIGH, LOW, Entry
from unlearn.report.runs import Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(entries: Sequence[Entry], band: Mapping[str, float], theme: Theme) -> "Figure":
    """Return one panel per set that was evaluated: a mark and a 95% interval per model.

    band  the largest distance of a gold to the others, by set; empty with too few golds
    """
    sets = [key for key, column in DISTANCES.items() if any(column in entry.row for entry in entries)]
    figure = new_figure(0.9 + 0.3 * len(entries))
    panels = figure.subplots(1, len(sets), squeeze=False, sharex=True, sharey=True)[0]
    for axes, key in zip(panels, sets, strict=True):
        if key in band:
            axes.axvspan(0, band[key], color=theme.kinds[Kind.gold], alpha=0.25, linewidth=0)
        for place, entry in enumerate(entries):
            _mark(axes, place, entry, DISTANCES[key], theme)
        axes.set_title(DISTANCES[key], loc="left")
        axes.grid(True, axis="x", linewidth=0.6)
        axes.tick_params(axis="y", length=0)
    panels[0].set_xlim(left=0)
    name_rows(panels[0], [entry.name for entry in entries], [entry.kind for entry in entries], theme)
    return figure


def _mark(axes: "Axes", place: int, entry: Entry, column: str, theme: Theme) -> None:
    value, low, high = (entry.row.get(f"{column}{end}") for end in ("", LOW, HIGH))
    if value is None:
        return
    colour = theme.kinds[entry.kind]
    if low is not None:
        axes.hlines(place, low, high, color=colour, linewidth=2)
    axes.scatter(value, place, marker=MARKERS[entry.kind], s=34, color=colour, zorder=3)

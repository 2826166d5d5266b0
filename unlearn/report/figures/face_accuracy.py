"""Accuracy of every method on the four sets of people, against gold's."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unlearn.report.figures.style import Theme, name_rows, new_figure
from unlearn.report.rows import Entry
from unlearn.report.runs import Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SETS = ("Forget", "Retain", "Holdout", "Unseen")
"""Each a column "Acc." of a method's row (metrics/faces/study.py)."""


def draw(entries: Sequence[Entry], theme: Theme) -> "Figure":
    """Return one panel per set: a bar and a 95% interval per method, and gold's accuracy as a line through all."""
    figure = new_figure(0.9 + 0.4 * len(entries))
    panels = figure.subplots(1, len(SETS), sharex=True, sharey=True)
    for axes, name in zip(panels, SETS, strict=True):
        for place, entry in enumerate(entries):
            _bar(axes, place, entry, f"Acc. {name}", theme)
        axes.set_title(name.lower(), loc="left")
        axes.grid(True, axis="x", linewidth=0.6)
        axes.tick_params(axis="y", length=0)
    panels[0].set(xlim=(0, 1), xticks=[0, 0.5, 1])
    name_rows(panels[0], [entry.name for entry in entries], [entry.kind for entry in entries], theme)
    figure.supxlabel("share of pictures identified (line: gold)", fontsize=10)
    return figure


def _bar(axes: "Axes", place: int, entry: Entry, column: str, theme: Theme) -> None:
    value, low, high = (entry.row.get(f"{column}{end}") for end in ("", " Low", " High"))
    if value is None:
        return
    colour = theme.kinds[entry.kind]
    axes.barh(place, value, 0.6, color=colour, alpha=0.75)
    if entry.kind is Kind.gold:
        axes.axvline(value, color=colour, linewidth=1.2)
    if isinstance(low, float):
        axes.hlines(place, low, high, color=theme.ink, linewidth=1.4, zorder=3)

"""How far every model is from gold on a task, and where the same is asked in other ways."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unlearn.metrics.bootstrap import Interval
from unlearn.report.figures.style import Theme, panels_of_models
from unlearn.report.runs import Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = ("o", "s", "D", "^", "v", "P", "X")
"""A way of asking is told by its shape too, never by its colour alone."""
USED = 0.7
"""Part of a model's row that its marks share; the rest keeps the rows apart."""


@dataclass(frozen=True)
class Panel:
    """One task: the signed shift from gold of every model, by the way of asking."""

    title: str
    ways: Mapping[str, Sequence[Interval]]


def draw(panels: Sequence[Panel], names: Sequence[str], kinds: Sequence[Kind], theme: Theme) -> "Figure":
    """Return one panel per task, in it a row per model, and in the row a mark with its interval per way of asking."""
    ways = list(dict.fromkeys(way for panel in panels for way in panel.ways))
    most = max(len(panel.ways) for panel in panels)
    figure, axes = panels_of_models(len(panels), names, kinds, 0.13 * most, 0.8, theme)
    for place, panel in zip(axes, panels, strict=True):
        _panel(place, panel, ways, theme)
    shown = {label: mark for place in axes for mark, label in zip(*place.get_legend_handles_labels(), strict=True)}
    figure.legend([shown[way] for way in ways], ways, loc="outside upper center", ncols=4, fontsize=9)
    figure.supxlabel("shift from gold (model minus gold)", fontsize=10)
    return figure


def _panel(axes: "Axes", panel: Panel, ways: Sequence[str], theme: Theme) -> None:
    axes.axvline(0, color=theme.kinds[Kind.gold], linewidth=1.4, zorder=1)
    for place, (way, shifts) in enumerate(panel.ways.items()):
        offset = USED * ((place + 0.5) / len(panel.ways) - 0.5)
        rows = [row + offset for row in range(len(shifts))]
        number = ways.index(way)
        colour = (theme.ink, *theme.series)[number % (1 + len(theme.series))]
        known = [(row, found) for row, found in zip(rows, shifts, strict=True) if found.low is not None]
        axes.hlines([r for r, _ in known], [f.low for _, f in known], [f.high for _, f in known], color=colour)
        values = [found.value for found in shifts]
        axes.scatter(values, rows, marker=MARKERS[number % len(MARKERS)], s=22, color=colour, zorder=3, label=way)
    axes.set_title(panel.title, loc="left")
    axes.grid(True, axis="x", linewidth=0.6)
    axes.tick_params(axis="y", length=0)

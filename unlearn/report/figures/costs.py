"""What training and evaluating each model cost."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unlearn.report.figures.style import Theme, name_rows, new_figure
from unlearn.report.rows import Entry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUANTITIES = ("Wall Seconds", "Peak Memory MiB", "Forwards")
"""Cost columns of a row, each with "Train" and "Eval" before it."""
PARTS = ("Train", "Eval")
HEIGHT = 0.36


def draw(entries: Sequence[Entry], theme: Theme) -> "Figure":
    """Return one panel per quantity, and in it two bars per model: training and evaluation."""
    figure = new_figure(1.0 + 0.5 * len(entries))
    panels = figure.subplots(1, len(QUANTITIES), sharey=True)
    for axes, quantity in zip(panels, QUANTITIES, strict=True):
        for offset, part, colour in zip((-HEIGHT / 2, HEIGHT / 2), PARTS, theme.series[1::-1], strict=True):
            values = [entry.row.get(f"{part} {quantity}") for entry in entries]
            _bars(axes, values, offset, colour, part)
        axes.set_title(quantity, loc="left")
        axes.margins(x=0.22)
        axes.grid(True, axis="x", linewidth=0.6)
        axes.tick_params(axis="x", labelsize=8)
        axes.tick_params(axis="y", length=0)
    name_rows(panels[0], [entry.name for entry in entries], [entry.kind for entry in entries], theme)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9)
    return figure


def _bars(axes: "Axes", values: Sequence[float | None], offset: float, colour: str, part: str) -> None:
    rows = [row + offset for row, value in enumerate(values) if value is not None]
    known = [value for value in values if value is not None]
    bars = axes.barh(rows, known, HEIGHT, color=colour, label={"Train": "training", "Eval": "evaluation"}[part])
    axes.bar_label(bars, [f"{value:,.0f}" for value in known], padding=2, fontsize=8)

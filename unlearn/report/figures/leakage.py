"""The leakage matrix as heat maps: how much more than gold each model knows, by what it forgot and how it is asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unlearn.report.figures.style import Theme, broken, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

LEAST = 0.1
"""Shift of the strongest colour, at least: smaller ones should look small."""
SHADES = 15
"""Of the scale; few, so that a picture's palette holds each of them as it is, and odd, so that 0 has its own."""


@dataclass(frozen=True)
class Square:
    """One cell: the shift from gold in [-1, 1]; `leak` is framed, `kept` is no matter of forgetting."""

    shift: float
    leak: bool
    kept: bool


@dataclass(frozen=True)
class Panel:
    """One model: a row of squares per forgotten modality, None where nothing was asked."""

    title: str
    squares: Sequence[Sequence[Square | None]]


def draw(panels: Sequence[Panel], rows: Sequence[str], columns: Sequence[str], theme: Theme) -> "Figure":
    """Return one panel per model below the other, all with one scale of colours, a number in every square.

    rows     what was forgotten
    columns  what was asked, on several lines where long
    """
    figure = new_figure(1.6 + len(panels) * (0.35 + 0.42 * len(rows)))
    places = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    shifts = [abs(square.shift) for panel in panels for row in panel.squares for square in row if square is not None]
    most = max(LEAST, *shifts)
    for axes, panel in zip(places, panels, strict=True):
        _panel(axes, panel, most, theme)
        axes.set_title(panel.title, loc="left")
        axes.set_yticks(range(len(rows)), rows)
    names = ["\n".join(broken(part.strip()) for part in name.split(",")) for name in columns]
    places[-1].set_xticks(range(len(columns)), names, rotation=40, ha="right", fontsize=8)
    return figure


def _panel(axes: "Axes", panel: Panel, most: float, theme: Theme) -> None:
    from matplotlib.patches import Rectangle

    values = [[np.nan if square is None else square.shift for square in row] for row in panel.squares]
    axes.imshow(np.array(values), cmap=_colours(theme), vmin=-most, vmax=most, aspect="auto")
    for y, row in enumerate(panel.squares):
        for x, square in enumerate(row):
            if square is None:
                continue
            colour = theme.muted if square.kept else theme.ink
            axes.text(x, y, f"{square.shift:+z.2f}", ha="center", va="center", fontsize=9, color=colour)
            if square.leak:
                axes.add_patch(
                    Rectangle((x - 0.47, y - 0.44), 0.94, 0.88, fill=False, edgecolor=theme.ink, linewidth=2)
                )
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _colours(theme: Theme) -> "Colormap":
    """Return blue (knows less) over paper (like gold) to orange (still knows), pale enough for letters on them."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    paper = np.array(to_rgb(theme.paper))
    below, above = (paper + 0.6 * (np.array(to_rgb(theme.series[i])) - paper) for i in (1, 0))
    return LinearSegmentedColormap.from_list("shift", [below, paper, above], N=SHADES)

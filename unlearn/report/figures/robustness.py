"""How far every model is from gold without and under each stress."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unlearn.metrics.bootstrap import Interval
from unlearn.report.figures.style import MARKERS, Theme, panels_of_models
from unlearn.report.runs import Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Panel:
    """One stress.

    pairs  per model D Forget without stress and under it; None for a gold that is alone
    band   the largest D Forget of a gold under the stress; None with too few golds
    """

    title: str
    pairs: Sequence[tuple[float, Interval] | None]
    band: float | None


def draw(panels: Sequence[Panel], names: Sequence[str], kinds: Sequence[Kind], theme: Theme) -> "Figure":
    """Return one panel per stress, in it a row per model: a hollow mark, a filled one, and a line between them."""
    figure, places = panels_of_models(len(panels), names, kinds, 0.36, 0.6, theme)
    for axes, panel in zip(places, panels, strict=True):
        _panel(axes, panel, kinds, theme)
    places[0].set_xlim(left=0)
    figure.supxlabel("D Forget (hollow: without stress)", fontsize=10)
    return figure


def _panel(axes: "Axes", panel: Panel, kinds: Sequence[Kind], theme: Theme) -> None:
    if panel.band is not None:
        axes.axvspan(0, panel.band, color=theme.kinds[Kind.gold], alpha=0.25, linewidth=0)
    for row, (pair, kind) in enumerate(zip(panel.pairs, kinds, strict=True)):
        if pair is not None:
            _pair(axes, row, pair, kind, theme)
    axes.set_title(panel.title, loc="left")
    axes.grid(True, axis="x", linewidth=0.6)
    axes.tick_params(axis="y", length=0)


def _pair(axes: "Axes", row: int, pair: tuple[float, Interval], kind: Kind, theme: Theme) -> None:
    plain, under = pair
    colour, look = theme.kinds[kind], {"marker": MARKERS[kind], "s": 34, "zorder": 3}
    axes.hlines(row, plain, under.value, color=theme.muted, linewidth=1, linestyle="dotted")
    if under.low is not None:
        axes.hlines(row, under.low, under.high, color=colour, linewidth=2)
    axes.scatter(plain, row, facecolor=theme.paper, edgecolor=colour, **look)
    axes.scatter(under.value, row, color=colour, **look)

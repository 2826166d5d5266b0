"""Re-enrolment: how well people are identified after enrolment from k pictures, the forgotten beside the never seen."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from unlearn.metrics.bootstrap import Interval
from unlearn.metrics.faces.reenrolment import Shots
from unlearn.report.figures.style import Theme, broken, panel_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 4
"""Panels in a row."""


def draw(methods: Mapping[str, Sequence[Shots]], theme: Theme) -> "Figure":
    """Return one panel per method: both accuracies over k with their 95% intervals; apart where something is left."""
    figure, panels = panel_grid(len(methods), ACROSS, height=2.2, margin=0.7, sharex=True, sharey=True)
    for axes, (name, curve) in zip(panels, methods.items(), strict=True):
        _line(axes, [(shots.k, shots.forgotten) for shots in curve], theme.series[0], "o-", "forgotten")
        _line(axes, [(shots.k, shots.never) for shots in curve], theme.series[1], "s--", "never seen")
        axes.set_title(broken(name), loc="left")
        axes.grid(True, linewidth=0.5)
        axes.set_xticks([shots.k for shots in curve])
    for axes in panels[-ACROSS:]:
        axes.tick_params(labelbottom=True)
    panels[0].set(ylim=(0, 1))
    figure.supxlabel("pictures that a person is enrolled from", fontsize=10)
    figure.supylabel("other pictures identified", fontsize=10)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=9)
    return figure


def _line(axes: "Axes", points: Sequence[tuple[int, Interval | None]], colour: str, style: str, label: str) -> None:
    known = [(k, found) for k, found in points if found is not None]
    axes.plot(
        [k for k, _ in known], [found.value for _, found in known], style, color=colour, markersize=4, label=label
    )
    ends = [(k, found.low, found.high) for k, found in known if found.low is not None]
    if ends:
        axes.fill_between(*zip(*ends, strict=True), color=colour, alpha=0.2, linewidth=0)

"""Every trial of a sweep: forgetting against keeping, the frontier of each method, and the setting that was chosen."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unlearn.report.figures.style import Theme, broken, panel_grid
from unlearn.report.runs import Kind
from unlearn.report.sweep import Sweep, Trial, frontier

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 4
"""Panels in a row."""
X, Y = "D Forget", "D Retain"


def draw(sweep: Sweep, theme: Theme) -> "Figure":
    """Return one panel per method: its trials and their frontier before those of all methods, the chosen one ringed."""
    methods = list(dict.fromkeys(trial.method for trial in sweep.trials))
    figure, panels = panel_grid(len(methods), ACROSS, height=2.2, margin=0.5, sharex=True, sharey=True)
    for axes, method in zip(panels, methods, strict=True):
        _panel(axes, sweep.trials, method, theme)
        axes.set_title(broken(method), loc="left")
    for axes in panels[-ACROSS:]:
        axes.tick_params(labelbottom=True)
    panels[0].set(xlim=(0, None), ylim=(0, None))
    figure.supxlabel(f"{X} (gold is in the corner)", fontsize=10)
    figure.supylabel(Y, fontsize=10)
    return figure


def _panel(axes: "Axes", trials: Sequence[Trial], method: str, theme: Theme) -> None:
    own = [trial for trial in trials if trial.method == method]
    colour = theme.kinds[Kind.unlearned]
    axes.scatter(*_places(trials), s=10, color=theme.grid, zorder=1)
    axes.plot(*_places(frontier(trials, X, Y)), color=theme.muted, linewidth=0.8, linestyle=":", zorder=1)
    axes.plot(*_places(frontier(own, X, Y)), color=colour, linewidth=1.2, zorder=2)
    axes.scatter(*_places(own), s=26, color=colour, zorder=3)
    chosen = _places([trial for trial in own if trial.chosen])
    axes.scatter(*chosen, s=110, facecolor="none", edgecolor=theme.kinds[Kind.gold], linewidth=2, zorder=4)
    axes.grid(True, linewidth=0.5)


def _places(trials: Sequence[Trial]) -> tuple[list[float], list[float]]:
    done = [trial for trial in trials if trial.distances]
    return [trial.distances[X] for trial in done], [trial.distances[Y] for trial in done]

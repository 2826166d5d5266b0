"""ROC curves of an attack on every method, both axes logarithmic: what it achieves at few false alarms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unlearn.metrics.privacy import RATES
from unlearn.metrics.scores import Floats
from unlearn.report.figures.style import MARKERS, Theme, new_figure
from unlearn.report.runs import Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOWEST = 1e-4
"""Where both axes begin: 0 has no place on them."""


@dataclass(frozen=True)
class Roc:
    """An attack's curve on one method.

    false, true  [k] rates of every threshold, from (0, 0) to (1, 1) (metrics/faces/attack.py)
    marked       by name of the rate (RATES) the true positive rate to mark; None is not marked
    """

    name: str
    kind: Kind
    false: Floats
    true: Floats
    marked: dict[str, float | None]


def draw(curves: Sequence[Roc], theme: Theme) -> "Figure":
    """Return one curve per method with its marks at the rates, and the diagonal of an attack that tells nothing.

    Carlini et al. 2022 (arXiv:2112.03570): on linear axes what harms the few who are found for sure is not seen.
    """
    figure = new_figure(5.0)
    axes = figure.add_subplot()
    unlearned = [curve.name for curve in curves if curve.kind is Kind.unlearned]
    for curve in curves:
        number = unlearned.index(curve.name) if curve.kind is Kind.unlearned else None
        _curve(axes, curve, number, theme)
    axes.plot([LOWEST, 1], [LOWEST, 1], color=theme.muted, linewidth=1, linestyle=":", zorder=1)
    axes.set(xscale="log", yscale="log", xlim=(LOWEST, 1), ylim=(LOWEST, 1))
    axes.set_xlabel("false positive rate: never seen, said to be forgotten")
    axes.set_ylabel("true positive rate")
    # The usual labels of log axes are formulas, which names with dollars must not become.
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda rate, _: f"{100 * rate:g}%")
    axes.grid(True, linewidth=0.6)
    figure.legend(loc="outside right upper", fontsize=9)
    return figure


def _curve(axes: "Axes", curve: Roc, number: int | None, theme: Theme) -> None:
    """Draw a curve of its kind's colour, or of the series' colour of its number; a second round of those is dashed."""
    rounds, place = divmod(number or 0, len(theme.series))
    colour = theme.kinds[curve.kind] if number is None else theme.series[place]
    style = ("-", "--", "-.", ":")[rounds % 4]
    lifted = curve.false.clip(LOWEST), curve.true.clip(LOWEST)
    # Between two thresholds nothing can be had but the lower of them.
    axes.plot(*lifted, color=colour, linestyle=style, linewidth=1.4, drawstyle="steps-post", label=curve.name)
    found = [(RATES[name], rate) for name, rate in curve.marked.items() if rate is not None]
    axes.scatter(
        [false for false, _ in found],
        [max(true, LOWEST) for _, true in found],
        marker=MARKERS[curve.kind],
        s=34,
        color=colour,
        zorder=3,
        clip_on=False,
    )

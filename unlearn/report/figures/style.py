"""What the figures share: colours that colour-blind readers can tell apart, on light and on dark paper."""

import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unlearn.report.runs import Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 9.0
"""Inches; at 100 px an inch a figure is 900 px wide and 10 points are 14 px."""
DPI = 160
"""Pixels an inch of the files: 1.6 for each of the page's, which screens with fine pixels use."""


@dataclass(frozen=True)
class Theme:
    """Colours of one mode (Okabe and Ito 2008, "Color universal design", adapted in lightness to the paper).

    kinds  of a model's marks; series  of curves, in order
    """

    name: str
    ink: str
    muted: str
    grid: str
    paper: str
    kinds: dict[Kind, str]
    series: tuple[str, ...]


LIGHT = Theme(
    name="light",
    ink="#1c1f23",
    muted="#5b636d",
    grid="#dfe3e8",
    paper="#ffffff",
    kinds={Kind.pretrained: "#757d87", Kind.base: "#3f454c", Kind.gold: "#b97a00", Kind.unlearned: "#0072b2"},
    series=("#d55e00", "#0072b2", "#009e73", "#aa4f8b", "#8a6d00", "#4a5159"),
)
DARK = Theme(
    name="dark",
    ink="#e8eaed",
    muted="#a5adb8",
    grid="#343a42",
    paper="#181b20",
    kinds={Kind.pretrained: "#8a929c", Kind.base: "#c6ccd4", Kind.gold: "#f0b429", Kind.unlearned: "#56b4e9"},
    series=("#ff8a3d", "#56b4e9", "#2fc79a", "#e394c4", "#f0e442", "#c6ccd4"),
)
THEMES = (LIGHT, DARK)

ACROSS = 3
"""Panels in a row."""
COLOURS = 128
"""Entries of a figure's palette, the shades of smooth edges included."""

MARKERS = {Kind.pretrained: "s", Kind.base: "D", Kind.gold: "*", Kind.unlearned: "o"}
"""A kind is told by its shape too, never by its colour alone."""


def broken(name: str, width: int = 20) -> str:
    """Return a name on as many lines as it needs to have at most `width` characters each, broken after underscores."""
    lines = [""]
    for part in re.findall(r"[^_]*_|[^_]+$", name):
        if lines[-1] and len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def render(draw: Callable[[Theme], "Figure"], theme: Theme) -> bytes:
    """Return the PNG of what `draw` makes with the theme's colours: the same bytes for the same values.

    A palette is enough for flat colours and makes the file three times smaller: a page holds every figure twice.
    """
    from matplotlib import rc_context
    from PIL import Image

    with rc_context(_settings(theme)):
        figure = draw(theme)
        figure.canvas.draw()
    picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    file = io.BytesIO()
    picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def new_figure(height: float) -> "Figure":
    """Return an empty figure of the page's width and `height` inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panel_grid(count: int, across: int, height: float, margin: float, **shared: bool) -> tuple["Figure", list["Axes"]]:
    """Return a figure and its `count` panels, `across` in a row of `height` inches; places left over are empty.

    margin  inches for what stands beside the panels; `shared` goes to `Figure.subplots`
    """
    down = math.ceil(count / across)
    figure = new_figure(margin + height * down)
    panels = list(figure.subplots(down, across, squeeze=False, **shared).flat)
    for axes in panels[count:]:
        axes.set_axis_off()
    return figure, panels[:count]


def panels_of_models(
    count: int, names: Sequence[str], kinds: Sequence[Kind], row: float, room: float, theme: Theme
) -> tuple["Figure", list["Axes"]]:
    """Return a figure and its `count` panels, some in a row, of one scale and with the models' names on the left.

    row   inches of a model
    room  inches of what stands above and below the panels
    """
    across = min(ACROSS, count)
    figure, panels = panel_grid(count, across, height=0.5 + row * len(names), margin=room, sharex=True, sharey=True)
    for axes in panels[-across:]:
        axes.tick_params(labelbottom=True)
    for axes in panels[::across]:
        name_rows(axes, names, kinds, theme)
    return figure, panels


def name_rows(axes: "Axes", names: Sequence[str], kinds: Sequence[Kind], theme: Theme) -> None:
    """Write the models' names at the rows 0, 1, ... of a horizontal plot, the first on top, in their kind's colour."""
    axes.set_yticks(range(len(names)), [broken(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    for label, kind in zip(axes.get_yticklabels(), kinds, strict=True):
        label.set_color(theme.kinds[kind])


def _settings(theme: Theme) -> dict[str, object]:
    return {
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.edgecolor": theme.muted,
        "axes.labelcolor": theme.ink,
        "axes.titlecolor": theme.ink,
        "axes.facecolor": theme.paper,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "figure.facecolor": theme.paper,
        "grid.color": theme.grid,
        "legend.frameon": False,
        "text.color": theme.ink,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "text.parse_math": False,
    }

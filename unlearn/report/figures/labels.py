"""Names beside points, placed so that they cover neither each other, nor a point, nor a line."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unlearn.report.figures.style import broken

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

DIRECTIONS = ((1, 1), (1, -1), (-1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1))
DISTANCES = (5, 10, 16, 24, 34, 46, 60, 80, 104, 132, 164)
"""Points from the mark to its name; the nearest that is free is taken."""
LINE_FROM = 10
"""Points from which on a thin line leads from a name to its mark."""
CROSSING_FROM = 24
"""Points that a name keeps within before it crosses a line."""
MARK = 5
"""Half the side of the square, in points, that a name must leave free around every mark."""
ALIGNED = {1: "left", 0: "center", -1: "right"}, {1: "bottom", 0: "center", -1: "top"}


def place_labels(
    axes: "Axes",
    names: Sequence[str],
    points: Sequence[tuple[float, float]],
    colours: Sequence[str],
    lines: Sequence[tuple[float | None, float | None]] = (),
) -> None:
    """Write each name near its point (data coordinates), first come first served, inside the axes where possible.

    lines  that no name should cross: (x, None) upright, (None, y) level
    The limits of the axes must be final, since what covers what depends on them.
    """
    axes.get_figure().draw_without_rendering()
    inside = axes.get_window_extent()
    taken, crossed = _marks(axes, points), [_line(axes, inside, x, y) for x, y in lines]
    for name, point, colour in zip(names, points, colours, strict=True):
        label = axes.annotate(broken(name), point, xytext=(0, 0), textcoords="offset points", fontsize=9, color=colour)
        taken.append(_put(label, taken, crossed, inside))


def _marks(axes: "Axes", points: Sequence[tuple[float, float]]) -> list["Bbox"]:
    from matplotlib.transforms import Bbox

    half = MARK * axes.get_figure().dpi / 72
    centres = [axes.transData.transform(point) for point in points]
    return [Bbox.from_extents(x - half, y - half, x + half, y + half) for x, y in centres]


def _line(axes: "Axes", inside: "Bbox", x: float | None, y: float | None) -> "Bbox":
    from matplotlib.transforms import Bbox

    across, up = axes.transData.transform((x or 0, y or 0))
    left, right = (inside.x0, inside.x1) if x is None else (across - 1, across + 1)
    bottom, top = (inside.y0, inside.y1) if y is None else (up - 1, up + 1)
    return Bbox.from_extents(left, bottom, right, top)


def _put(label: "Annotation", taken: Sequence["Bbox"], lines: Sequence["Bbox"], inside: "Bbox") -> "Bbox":
    """Move a label to the first place that is free and return its box; the last one tried where none is."""
    near = [(distance, [*taken, *lines]) for distance in DISTANCES if distance < CROSSING_FROM]
    for distance, obstacles in [*near, *((distance, taken) for distance in DISTANCES)]:
        for x, y in DIRECTIONS:
            label.set(
                position=(x * distance, y * distance),
                horizontalalignment=ALIGNED[0][x],
                verticalalignment=ALIGNED[1][y],
            )
            box = label.get_window_extent()
            within = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
            if within and box.count_overlaps(obstacles) == 0:
                _lead(label, distance)
                return box
    return label.get_window_extent()


def _lead(label: "Annotation", distance: float) -> None:
    """Draw the line from a distant name to its mark."""
    if distance < LINE_FROM:
        return
    label.axes.annotate(
        "",
        label.xy,
        xytext=label.get_position(),
        textcoords="offset points",
        arrowprops={"arrowstyle": "-", "color": label.get_color(), "linewidth": 0.6, "shrinkB": 4, "shrinkA": 0},
    )

"""The picture of a table: what each model still knows of the forgotten people against what it kept of the others."""

from collections.abc import Sequence
from pathlib import Path

from unlearn.metrics.table import Row

SCORES = ("Prob.", "ROUGE")


def knowledge(row: Row, role: str) -> float:
    """Return the mean of probability and ROUGE-L recall over the tasks of `role` ("Forget" or "Retain"), in [0, 1]."""
    values = [
        value
        for column, value in row.items()
        if column.startswith(tuple(f"{score} {role}" for score in SCORES)) and isinstance(value, float)
    ]
    return sum(values) / len(values)


def draw(rows: Sequence[Row], gold: str, path: Path) -> None:
    """Write a PNG with one point per row; lines mark `gold`, the goal; its other seeds have no label."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    points = {str(row["Method"]): (knowledge(row, "Forget"), knowledge(row, "Retain")) for row in rows}
    x, y = points[gold]
    axes.axvline(x, color="goldenrod", linewidth=1, zorder=0)
    axes.axhline(y, color="goldenrod", linewidth=1, zorder=0)
    for name, (forget, retain) in points.items():
        colour = "goldenrod" if name.startswith(gold) else "tab:gray" if name in ("pretrained", "base") else "tab:blue"
        axes.scatter(forget, retain, s=60, color=colour, edgecolor="black", linewidth=0.6)
        if name == gold or not name.startswith(gold):
            # A method that changed little lies on base: its label goes below, those of the references above.
            offset = (6, -13 if colour == "tab:blue" else 6)
            axes.annotate(name, (forget, retain), xytext=offset, textcoords="offset points", fontsize=9)
    axes.set(xlim=(0, 1.08), ylim=(0, 1.08))
    axes.set_xlabel("still known of the forgotten people (gold's line is the goal, not 0)")
    axes.set_ylabel("kept of the other people (higher is better)")
    axes.set_title("Mean of probability and ROUGE-L recall", fontsize=10)
    partial = path.with_name(f".{path.name}")
    figure.savefig(partial, format="png")
    partial.replace(path)

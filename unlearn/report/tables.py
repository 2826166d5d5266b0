"""The tables of a report: few columns or all, intervals in brackets, the best method of a column marked."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from unlearn.metrics.table import Row, Value, columns_of
from unlearn.report.rows import DISTANCES, HIGH, LOW, REMAINING, SHIFT, WITHIN, Entry
from unlearn.report.runs import Kind


class Better(Enum):
    """Which values of a column are good; `none` where no method is marked."""

    low = "low"
    high = "high"
    none = "none"


FORGET, *OTHERS = DISTANCES.values()
HEADLINE = {
    FORGET: Better.low,
    SHIFT: Better.none,
    **dict.fromkeys(OTHERS, Better.low),
    REMAINING: Better.low,
    WITHIN: Better.none,
    "Model Utility": Better.high,
    "Forget Quality": Better.none,
    "Train Wall Seconds": Better.low,
    "Train Peak Memory MiB": Better.low,
    "Train Forwards": Better.low,
}
"""Columns of the headline table. Forget quality has no best: the p-value of samples that are not drawn independently
ranks nothing."""

P_VALUES = ("Forget Quality", "KS Test PVal")


@dataclass(frozen=True)
class Cell:
    """A value as it is printed: its number, its interval ("" where it has none), whether it is the column's best."""

    text: str
    interval: str = ""
    best: bool = False


@dataclass(frozen=True)
class Line:
    """One model's cells."""

    name: str
    kind: Kind
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """One line per model. `columns` are those of which any model has a value."""

    columns: tuple[str, ...]
    lines: tuple[Line, ...]


def headline(entries: Sequence[Entry]) -> Table:
    """Return what one looks at first, the best method of each column marked."""
    return _table(entries, list(HEADLINE))


def whole(entries: Sequence[Entry]) -> Table:
    """Return all columns, the ends of intervals in the cells of their values."""
    columns = columns_of([entry.row for entry in entries])
    ends = {f"{column}{end}" for column in columns for end in (LOW, HIGH)}
    return _table(entries, [column for column in columns if column != "Method" and column not in ends])


def _table(entries: Sequence[Entry], columns: Sequence[str]) -> Table:
    present = [column for column in columns if any(entry.row.get(column) is not None for entry in entries)]
    best = {column: _best(entries, column) for column in present}
    lines = [Line(e.name, e.kind, tuple(_cell(e, column, best[column]) for column in present)) for e in entries]
    return Table(tuple(present), tuple(lines))


def _best(entries: Sequence[Entry], column: str) -> float | None:
    """Return the best value among the methods: pretrained, base and golds are what they are measured by."""
    values = [entry.row.get(column) for entry in entries if entry.kind is Kind.unlearned]
    known = [value for value in values if isinstance(value, int | float)]
    better = HEADLINE.get(column, Better.none)
    if not known or better is Better.none:
        return None
    return min(known) if better is Better.low else max(known)


def _cell(entry: Entry, column: str, best: float | None) -> Cell:
    value = entry.row.get(column)
    marked = best is not None and entry.kind is Kind.unlearned and value == best
    return Cell(shown(value, column.startswith(P_VALUES)), _interval(entry.row, column), marked)


def _interval(row: Row, column: str) -> str:
    if f"{column}{LOW}" not in row:
        return ""
    low, high = row[f"{column}{LOW}"], row[f"{column}{HIGH}"]
    return "[n/a]" if low is None else f"[{shown(low)}, {shown(high)}]"


def shown(value: Value, p_value: bool = False) -> str:
    """Return a value as people read it: three decimals below 10, thousands apart, a tiny p-value as a power of ten."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, int):
        return f"{value:,}"
    if p_value and 0 < value < 0.0005:
        return f"{value:.0e}"
    decimals = next((digits for limit, digits in ((10, 3), (100, 1)) if abs(value) < limit), 0)
    return f"{value:z,.{decimals}f}"


def to_markdown(table: Table) -> str:
    """Return a table with a line per model: the best of a column in bold, an interval after its number."""
    return _aligned([["Method", *table.columns], *([line.name, *map(_marked, line.cells)] for line in table.lines)])


def to_long_markdown(table: Table) -> str:
    """Return a table with a line per column, which has room for many columns."""
    body = [[column, *(_marked(line.cells[i]) for line in table.lines)] for i, column in enumerate(table.columns)]
    return _aligned([["Method", *(line.name for line in table.lines)], *body])


def _marked(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.best else cell.text
    return f"{text} {cell.interval}".rstrip()


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    escaped = [[text.replace("|", "\\|").replace("\n", " ") for text in line] for line in lines]
    widths = [max(3, *(len(line[i]) for line in escaped)) for i in range(len(lines[0]))]
    return "".join(
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |\n"
        for line in (escaped[0], ["-" * width for width in widths], *escaped[1:])
    )

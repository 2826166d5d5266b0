"""The tables of a report: few columns or all, intervals in brackets, the best method of a column marked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from unlearn.config.schema import Metrics
from unlearn.metrics.bootstrap import Interval
from unlearn.metrics.columns import DISTANCE_COLUMNS, NO_INTERVAL
from unlearn.metrics.table import Row, Value, columns_of
from unlearn.report.rows import Entry
from unlearn.report.runs import Kind


class Better(Enum):
    """Which values of a column are good; `none` where no method is marked."""

    low = "low"
    high = "high"
    none = "none"


FORGET, *OTHERS = DISTANCE_COLUMNS
TRAINING = {
    "Train Wall Seconds": Better.low,
    "Train Peak Memory MiB": Better.low,
    "Train Forwards": Better.low,
}
HEADLINES = {
    Metrics.correct: {
        FORGET: Better.low,
        "Shift Forget": Better.none,
        **dict.fromkeys(OTHERS, Better.low),
        "Remaining": Better.low,
        "Within Gold's Spread": Better.none,
        "Model Utility": Better.high,
        "Forget Quality": Better.none,
        **TRAINING,
    },
    Metrics.released: {
        "Real": Better.high,
        "Retain": Better.high,
        "Forget": Better.low,
        "Model Utility": Better.high,
        "Forget Quality": Better.high,
        **TRAINING,
    },
}
"""Columns of the headline table, by whose definitions they are. The test behind forget quality takes items as drawn
independently, which those of one person are not: such p-values rank nothing."""

HEADLINE_OF_SEEDS = {
    **dict.fromkeys(("n", "Settings", "Model Family", "Data"), Better.none),
    **dict.fromkeys(reversed(DISTANCE_COLUMNS), Better.low),
    "Shift Forget": Better.none,
    "Model Utility": Better.high,
    "Forget Quality": Better.none,
}
"""Columns of a leaderboard's headline table."""

LOW, HIGH, GOLD = " Low", " High", " Gold"
"""Endings of columns that belong to another: the ends of its interval, and its value between golds."""
P_VALUES = ("Forget Quality", "KS Test PVal")


@dataclass(frozen=True)
class Cell:
    """A value as it is printed.

    beside  its interval, or else its value between golds; "" where it has neither
    best    whether it is the best of a method in its column
    """

    text: str
    beside: str = ""
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


def headline(entries: Sequence[Entry], metrics: Metrics) -> Table:
    """Return what one looks at first, the best method of each column marked."""
    return chosen(entries, HEADLINES[metrics])


def chosen(entries: Sequence[Entry], columns: Mapping[str, Better]) -> Table:
    """Return the table of some columns, the best method of each marked."""
    return _table(entries, list(columns), {column: _best(entries, column, columns[column]) for column in columns})


def whole(entries: Sequence[Entry]) -> Table:
    """Return all columns; ends of intervals, and values between golds of what has no interval, are in the cells."""
    columns = columns_of([entry.row for entry in entries])
    beside = {f"{column}{end}" for column in columns for end in (LOW, HIGH)}
    beside |= {f"{column}{GOLD}" for column in columns if f"{column}{LOW}" not in columns}
    return _table(entries, [column for column in columns if column != "Method" and column not in beside], {})


def _table(entries: Sequence[Entry], columns: Sequence[str], best: Mapping[str, float | None]) -> Table:
    present = [column for column in columns if any(entry.row.get(column) is not None for entry in entries)]
    lines = [Line(e.name, e.kind, tuple(_cell(e, column, best.get(column)) for column in present)) for e in entries]
    return Table(tuple(present), tuple(lines))


def _best(entries: Sequence[Entry], column: str, better: Better) -> float | None:
    """Return the best value among the methods: pretrained, base and golds are what they are measured by."""
    values = [entry.row.get(column) for entry in entries if entry.kind is Kind.unlearned]
    known = [value for value in values if isinstance(value, int | float)]
    if not known or better is Better.none:
        return None
    return min(known) if better is Better.low else max(known)


def _cell(entry: Entry, column: str, best: float | None) -> Cell:
    value = entry.row.get(column)
    marked = best is not None and entry.kind is Kind.unlearned and value == best
    return Cell(shown(value, column.startswith(P_VALUES)), _beside(entry.row, column), marked)


def _beside(row: Row, column: str) -> str:
    """Return the interval of a column's value, or else what it is between golds."""
    if row.get(column) is None:
        return ""
    low, high, gold = (row.get(f"{column}{end}") for end in (LOW, HIGH, GOLD))
    if low is not None:
        return f"[{low}]" if isinstance(low, str) else f"[{shown(low)}, {shown(high)}]"
    return "" if gold is None else f"(gold {shown(gold)})"


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


def pairs(values: Mapping[str, Any]) -> str:
    """Return settings as "key=value, key.inner=value, ...", as they are written on a command line."""
    return ", ".join(f"{key}={value}" for key, value in _flat(values, ""))


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def between(found: Interval) -> str:
    """Return the ends of an interval as people read them, "[n/a]" where there is none."""
    return f"[{NO_INTERVAL}]" if found.low is None else f"[{shown(found.low)}, {shown(found.high)}]"


def to_markdown(table: Table) -> str:
    """Return a table with a line per model: the best of a column in bold, an interval after its number."""
    return _aligned([["Method", *table.columns], *([line.name, *map(_marked, line.cells)] for line in table.lines)])


def to_long_markdown(table: Table) -> str:
    """Return a table with a line per column, which has room for many columns."""
    body = [[column, *(_marked(line.cells[i]) for line in table.lines)] for i, column in enumerate(table.columns)]
    return _aligned([["Method", *(line.name for line in table.lines)], *body])


def _marked(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.best else cell.text
    return f"{text} {cell.beside}".rstrip()


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    escaped = [[text.replace("|", "\\|").replace("\n", " ") for text in line] for line in lines]
    widths = [max(3, *(len(line[i]) for line in escaped)) for i in range(len(lines[0]))]
    return "".join(
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |\n"
        for line in (escaped[0], ["-" * width for width in widths], *escaped[1:])
    )

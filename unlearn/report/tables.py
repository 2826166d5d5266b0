"""The headline table: few columns, intervals in brackets, the best method of each column marked."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from unlearn.metrics.table import Value
from unlearn.report.rows import DISTANCES, REMAINING, WITHIN, Entry
from unlearn.report.runs import Kind


class Better(Enum):
    """Which values of a column are good; `none` where no method is marked."""

    low = "low"
    high = "high"
    none = "none"


@dataclass(frozen=True)
class Column:
    """A column of the headline table."""

    name: str
    better: Better = Better.none


HEADLINE = (
    *(Column(name, Better.low) for name in DISTANCES),
    Column(REMAINING, Better.low),
    Column(WITHIN),
    *(Column(name) for name in ("Forget", "Retain", "Real")),
    Column("Model Utility", Better.high),
    Column("Forget Quality"),
    Column("Train Wall Seconds", Better.low),
    Column("Train Peak Memory MiB", Better.low),
    Column("Train Forwards", Better.low),
)
"""Forget quality has no best: p-values of samples that are no independent draws rank nothing."""


@dataclass(frozen=True)
class Cell:
    """A value as it is printed: its number, its interval ("" where there is none), whether it is the column's best."""

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
    """The headline table. `columns` are those of HEADLINE of which any model has a value."""

    columns: tuple[str, ...]
    lines: tuple[Line, ...]


def headline(entries: Sequence[Entry]) -> Table:
    """Return the headline table of `entries`, one line each, in their order."""
    present = [column for column in HEADLINE if any(entry.row.get(column.name) is not None for entry in entries)]
    best = {column.name: _best(entries, column) for column in present}
    lines = [
        Line(
            entry.name,
            entry.kind,
            tuple(_cell(entry, column.name, best[column.name]) for column in present),
        )
        for entry in entries
    ]
    return Table(tuple(column.name for column in present), tuple(lines))


def _best(entries: Sequence[Entry], column: Column) -> float | None:
    """Return the best value among the methods: pretrained, base and golds are what they are measured by."""
    values = [entry.row.get(column.name) for entry in entries if entry.kind is Kind.unlearned]
    known = [value for value in values if isinstance(value, int | float)]
    if not known or column.better is Better.none:
        return None
    return min(known) if column.better is Better.low else max(known)


def _cell(entry: Entry, column: str, best: float | None) -> Cell:
    value, low, high = (entry.row.get(f"{column}{suffix}") for suffix in ("", " Low", " High"))
    interval = "" if low is None else f"[{shown(low)}, {shown(high)}]"
    return Cell(shown(value), interval, best is not None and entry.kind is Kind.unlearned and value == best)


def shown(value: Value) -> str:
    """Return a value as people read it: three decimals below 10, thousands apart, tiny ones as powers of ten."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, int):
        return f"{value:,}"
    if value and abs(value) < 0.0005:
        return f"{value:.0e}"
    decimals = next((digits for limit, digits in ((10, 3), (100, 1)) if abs(value) < limit), 0)
    return f"{value:,.{decimals}f}"


def to_markdown(table: Table) -> str:
    """Return the table for a terminal and for Markdown: the best of a column in bold, its interval after it."""
    body = [[_escaped(line.name), *map(_in_markdown, line.cells)] for line in table.lines]
    lines = [["Method", *table.columns], *body]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(lines[0]))]
    rule = ["-" * width for width in widths]
    return "".join(
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |\n"
        for line in (lines[0], rule, *lines[1:])
    )


def _in_markdown(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.best else cell.text
    return f"{text} {cell.interval}".rstrip()


def _escaped(name: str) -> str:
    return name.replace("|", "\\|")

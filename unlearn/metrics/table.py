"""Rows of results as CSV, JSON and Markdown. A row maps column names to values; rows may have different columns."""

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from unlearn.errors import UserError

Value = str | float | int | None
Row = Mapping[str, Value]


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Return every column of `rows` once, in the order of first appearance."""
    return list(dict.fromkeys(column for row in rows for column in row))


def rows_to_csv(rows: Sequence[Row]) -> str:
    """Return a header line and one line per row, numbers in full precision, an absent value as an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns_of(rows), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def rows_to_json(rows: Sequence[Row]) -> str:
    """Return a JSON list of objects, one per row."""
    return json.dumps([dict(row) for row in rows], indent=1, allow_nan=False) + "\n"


def rows_to_markdown(rows: Sequence[Row]) -> str:
    """Return an aligned table for people: numbers with 4 significant digits, an absent value as an empty cell."""
    columns = columns_of(rows)
    cells = [columns, *([_shown(row.get(column)) for column in columns] for row in rows)]
    widths = [max(3, *(len(line[i]) for line in cells)) for i in range(len(columns))]
    rule = ["-" * width for width in widths]
    lines = (
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in (cells[0], rule, *cells[1:])
    )
    return "\n".join(lines) + "\n"


def transposed(rows: Sequence[Row], title: str) -> list[Row]:
    """Return one row per column of `rows` but `title`, whose values head the new columns: long rows become readable."""
    return [
        {title: column, **{str(row[title]): row.get(column) for row in rows}}
        for column in columns_of(rows)
        if column != title
    ]


def _shown(value: Value) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|").replace("\n", " ")


WRITERS: dict[str, Callable[[Sequence[Row]], str]] = {
    ".csv": rows_to_csv,
    ".json": rows_to_json,
    ".md": rows_to_markdown,
}


def ending_problem(path: str | Path) -> str | None:
    """Return the sentence for a file whose ending names no format, None for a good one."""
    if Path(path).suffix.lower() in WRITERS:
        return None
    return f'save_file is "{path}"; allowed endings are {", ".join(WRITERS)}; set save_file=... accordingly.'


def save_rows(rows: Sequence[Row], path: str | Path) -> None:
    """Write `rows` in the format of the file's ending, all or nothing. Raises UserError where it cannot."""
    path = Path(path)
    problem = ending_problem(path)
    if problem is not None:
        raise UserError(problem)
    text = WRITERS[path.suffix.lower()](rows)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"{path} cannot be written ({error.strerror}); set save_file to another place.") from error

"""The headline table for a paper: LaTeX with booktabs."""

import re

from unlearn.report.runs import Kind
from unlearn.report.tables import Cell, Line, Table

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "\n": " ",
}


def to_latex(table: Table, caption: str) -> str:
    """Return a `table` environment that needs the package booktabs: references above a rule, methods below it."""
    lines = [
        r"\begin{table}",
        r"\centering",
        r"\footnotesize",
        rf"\caption{{{escaped(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        _row(["Method", *map(escaped, table.columns)]),
        r"\midrule",
        *_body(table),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Return `text` so that LaTeX prints it as it is."""
    return "".join(SPECIAL.get(character, character) for character in text)


def _body(table: Table) -> list[str]:
    references = [line for line in table.lines if line.kind is not Kind.unlearned]
    methods = [line for line in table.lines if line.kind is Kind.unlearned]
    between = [r"\midrule"] if references and methods else []
    return [*map(_line, references), *between, *map(_line, methods)]


def _line(line: Line) -> str:
    return _row([escaped(line.name), *map(_cell, line.cells)])


def _row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(cell: Cell) -> str:
    text, beside = (_signed(escaped(given)) for given in (cell.text, cell.beside))
    text = rf"\textbf{{{text}}}" if cell.best else text
    return rf"{text} {{\scriptsize {beside}}}" if beside else text


def _signed(text: str) -> str:
    """Return `text` with minus signs before its numbers, where LaTeX would print hyphens."""
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", text)

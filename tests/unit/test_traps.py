"""docs/traps.md: every mistake that was found in published code has tests, and they exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
AREAS = {"data", "losses", "models", "evaluation", "masks", "booleans"}


def traps():
    """The rows of the table, cell by cell, without its head."""
    lines = (PROJECT / "docs" / "traps.md").read_text().splitlines()
    table = [line for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


@cache
def collected(path):
    """The tests that pytest collects from a file; none where there is no file."""
    if not (PROJECT / path).is_file():
        return set()
    body = ast.parse((PROJECT / path).read_text()).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("trap", traps(), ids=lambda trap: trap[1][:50])
def test_a_trap_has_tests_and_they_exist(trap):
    area, mistake, effect, tests = trap
    assert area in AREAS
    assert mistake.endswith(".")
    assert effect.endswith(".")
    named = NAMED.findall(tests)
    assert named, "no test keeps this out"
    # Nothing else stands in the cell: a name that is written wrongly is no name that is overlooked.
    assert tests == ", ".join(f"`{path}::{name}`" for path, name in named)
    assert [f"{path}::{name}" for path, name in named if name not in collected(path)] == []


def test_every_area_is_there_and_no_trap_twice():
    found = traps()
    assert {area for area, *_ in found} == AREAS
    assert len({mistake for _, mistake, *_ in found}) == len(found)

"""Calls of entry scripts with the configs that they build."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from unlearn.experiment.scripts import script_config

REPLACE = "overwrite_dir=true"
"""A stage whose config changed replaces what it made before: the folders are the experiment's own."""


@dataclass(frozen=True)
class Job:
    """One call of an entry script: `script` (as "mm/forget"), its overrides, and the config built from them."""

    script: str
    overrides: tuple[str, ...]
    config: Any


def job(script: str, overrides: tuple[str, ...], own: Mapping[str, str | float | None]) -> Job:
    """Return a call with keys of its `own`, on which no other key depends.

    To compose a config takes 0.1 s, so calls that differ in such keys alone share one.
    """
    text = [f"{key}={'null' if value is None else value}" for key, value in own.items()]
    return Job(script, (*overrides, *text), replace(_composed(script, overrides), **own))


@cache
def _composed(script: str, overrides: tuple[str, ...]) -> Any:
    return script_config(script, list(overrides))

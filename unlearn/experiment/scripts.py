"""The entry scripts as functions: the `main` and the schema of mm/finetune.py, as the script itself uses them."""

import runpy
from collections.abc import Callable
from functools import cache
from typing import Any, get_type_hints

from unlearn.config.loading import PROJECT
from unlearn.entry import load


@cache
def script_main(script: str) -> Callable[[Any], object]:
    """Return `main` of an entry script, e.g. of "mm/forget"."""
    return runpy.run_path(str(PROJECT / f"{script}.py"))["main"]


def script_config(script: str, overrides: list[str]) -> Any:
    """Return the validated config that the script would build from `overrides`. Raises UserError."""
    return load(script, overrides, get_type_hints(script_main(script))["cfg"])

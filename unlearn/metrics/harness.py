"""General utility as lm-evaluation-harness measured it: read from the file beside an evaluation log, and checked.

Layout of the file, where a number that the harness does not give or that is not finite is null:
    {"format", "fingerprint", "model": {"path", "fingerprint"}, "settings": {"harness": version, "tasks", "limit", ...},
     "tasks": {name: {"version", "n", "num_fewshot", "of_group", "metrics": {metric: {"value", "stderr"}}}}}
"""

from collections.abc import Mapping, Sequence
from typing import Any

from unlearn.errors import UserError
from unlearn.metrics.bootstrap import Interval
from unlearn.metrics.columns import interval_columns
from unlearn.metrics.content import read_json
from unlearn.metrics.logs import EvalLog
from unlearn.metrics.table import Value

UTILITY = "lm_eval.json"
FORMAT = 1
"""Raised when the layout of the file changes."""
NORMAL_95 = 1.959964
"""Standard errors on either side of a normal 95% interval."""


def harness_columns(log: EvalLog) -> dict[str, Value]:
    """Return "LM Eval <task> <metric>" with its normal 95% interval for every task; of a group not its members.

    Nothing for a log that has no such file beside it, or no manifest that says whose it is. Raises UserError for a file
    that is cut off, of another format or of another model than the log.
    """
    content = _read(log)
    row: dict[str, Value] = {}
    for name, task in content.get("tasks", {}).items():
        for metric, found in task["metrics"].items() if not task["of_group"] else ():
            row |= interval_columns(f"LM Eval {name} {metric}", _interval(found["value"], found["stderr"]))
    return row


def check_same_harness(logs: Sequence[EvalLog]) -> None:
    """Raise UserError where two logs have results of the harness that were not measured alike."""
    settings = {log.path: _read(log).get("settings") for log in logs}
    known = {path: found for path, found in settings.items() if found is not None}
    for path, found in known.items():
        first, reference = next(iter(known.items()))
        other = [key for key in {**reference, **found} if reference.get(key) != found.get(key)]
        if other:
            raise UserError(
                f"{first.with_name(UTILITY)} and {path.with_name(UTILITY)} cannot be compared: they differ in "
                f"{', '.join(other)}; evaluate both with the same eval.* keys and the same version of lm-eval."
            )


def _read(log: EvalLog) -> Mapping[str, Any]:
    path = log.path.with_name(UTILITY)
    if log.manifest is None or not path.is_file():
        return {}
    content = read_json(path)
    if content.get("format") != FORMAT:
        raise UserError(f"{path} has format {content.get('format')} but this version reads {FORMAT}; evaluate again.")
    if content["model"]["fingerprint"] != log.manifest.provenance.model.fingerprint:
        raise UserError(
            f"{path} is of another model than the log beside it; evaluate again with eval=lm_eval overwrite_dir=true, "
            f"or remove that file."
        )
    return content


def _interval(value: float | None, stderr: float | None) -> Interval | None:
    if value is None:
        return None
    return (
        Interval(value) if stderr is None else Interval(value, value - NORMAL_95 * stderr, value + NORMAL_95 * stderr)
    )

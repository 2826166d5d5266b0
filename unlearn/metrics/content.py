"""JSON files that an evaluation wrote, read with a check of what they must hold."""

import json
from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

from unlearn.errors import UserError, unknown


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`; raise UserError where it is absent, cut off or something else."""
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "absent"
        raise UserError(f"{path} is {kind}; give the eval_log_aggregated.json that an evaluation wrote.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not complete JSON ({error}); it may be truncated, so evaluate again.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give a log that can be read.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}; an evaluation writes a JSON object.")
    return content


def member_of(content: Mapping[str, Any], key: str, kind: type[Enum], where: object) -> Any:
    """Return the member of an enum that `key` names; raise UserError where it names none."""
    name = value_of(content, key, str, where)
    if name not in kind.__members__:
        raise unknown(f"{key} in {where}:", name, list(kind.__members__))
    return kind[name]


def value_of(content: Mapping[str, Any], key: str, kind: Any, where: object) -> Any:
    """Return the value of `key`; raise UserError where it is absent or not of type `kind`. `where` names the place."""
    if key not in content:
        raise UserError(f'{where} has no "{key}"; it may be truncated or written by another tool, so evaluate again.')
    if not isinstance(content[key], kind) or (kind is int and isinstance(content[key], bool)):
        raise UserError(
            f'{where} has {content[key]!r} as "{key}", which must be of type {getattr(kind, "__name__", kind)}.'
        )
    return content[key]


def strings_of(kind: type, content: Mapping[str, Any], key: str, where: str) -> Any:
    """Return an instance of a dataclass whose fields are all texts, from the object under `key`."""
    found, place = value_of(content, key, dict, where), f"{where}, {key}"
    return kind(**{part.name: value_of(found, part.name, str, place) for part in fields(kind)})

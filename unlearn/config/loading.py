"""From composed Hydra configs to validated objects: every mistake at once, in words, before any weight is read."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from unlearn.errors import UserError, unknown

PROJECT = Path(__file__).resolve().parents[2]
"""The repository: entry scripts, config/ and the package."""

NO_GRADIENT = "{} asks for an l0 norm, which counts entries and has no gradient, so no loss; set l1_lambda=... instead."
REFUSED = ("l0_lambda", "l_norm", "forget_loss=l0")
"""What other code offers as a loss although nothing can be learned from it."""

OmegaConf.register_new_resolver("project", lambda path: str(PROJECT / path), replace=True)


def to_object(config: DictConfig, schema: type) -> Any:
    """Return an instance of `schema` with every section an instance of its own dataclass.

    Raises UserError with all unknown keys, missing values and problems of the sections together.
    """
    strangers = list(_unknown_keys(config, schema, ""))
    if strangers:
        raise UserError(" ".join(strangers))
    try:
        missing = sorted(OmegaConf.missing_keys(config))
        if missing:
            raise UserError(f"No value is given for {', '.join(missing)}; set it, e.g. {missing[0]}=... .")
        built = OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise UserError(first_line(error)) from error
    problems = list(_problems(built))
    if problems:
        raise UserError(" ".join(problems))
    return built


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, where OmegaConf and Hydra say what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    keys = [line.removeprefix("full_key:").strip() for line in lines if line.startswith("full_key:")]
    message = lines[0] if lines else type(error).__name__
    return f"{keys[0]}: {message}" if keys and keys[0] not in message else message


def _problems(section: object) -> Iterator[str]:
    for key in fields(section):
        value = getattr(section, key.name)
        if is_dataclass(value):
            yield from _problems(value)
    if hasattr(section, "problems"):
        yield from section.problems()


def _unknown_keys(config: DictConfig, schema: type, prefix: str) -> Iterator[str]:
    """Hydra accepts `+typo=1` although the schema has no such key, so keys are compared with the fields."""
    allowed = {key.name for key in fields(schema)}
    for key in config:
        if key in REFUSED:
            yield NO_GRADIENT.format(key)
        elif key not in allowed:
            yield str(unknown("key", prefix + str(key), [prefix + name for name in allowed]))
        elif not OmegaConf.is_missing(config, key):
            node = config._get_node(key)
            inner = OmegaConf.get_type(node) if isinstance(node, DictConfig) else None
            if inner is not None and is_dataclass(inner):
                yield from _unknown_keys(node, inner, f"{prefix}{key}.")

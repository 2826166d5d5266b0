"""What every entry script shares: schemas, composition, `--help`, and errors as one sentence with exit status 2."""

import logging
import shlex
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from itertools import product
from pathlib import PurePosixPath
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from unlearn.config.faces import FaceData, FaceModel
from unlearn.config.loading import NO_GRADIENT, PROJECT, REFUSED, first_line, to_object
from unlearn.config.schema import Data, ModelFamily
from unlearn.config.scripts import Harness
from unlearn.errors import UserError, nearest, unknown

CONFIG = PROJECT / "config"
GROUPS = {
    "preset": "data",
    "model_family": "model_family",
    "data": "data",
    "face_preset": "face_model",
    "face_model": "face_model",
    "face_data": "face_data",
    "forget_loss": "forget_loss",
    "task": "tasks",
    "stress": "stress",
    "eval": "eval",
}
"""Folders of config/ whose files are chosen by name, with the key that shows that a script takes them."""
SECTIONS = {"model_family": ModelFamily, "data": Data, "face_model": FaceModel, "face_data": FaceData}
"""Groups whose files are all of one schema."""
HELP, SWEEP = {"-h", "--help"}, {"-m", "--multirun"}
CHATTY = ("accelerate", "bitsandbytes", "DeepSpeed", "httpx", "lm_eval")
"""Libraries that log what does not concern a run (a missing optional kernel, each saved file)."""


def register_schemas(config_name: str, schema: type) -> None:
    """Enter the dataclasses that a script's YAML files name into Hydra's ConfigStore as `<name>_schema`."""
    keys = {key.name for key in fields(schema)}
    store = ConfigStore.instance()
    store.store(name=f"{PurePosixPath(config_name).name}_schema", node=schema)
    for group, section in SECTIONS.items():
        store.store(group=group, name=f"{group}_schema", node=section)
    store.store(group="eval", name="harness_schema", node=Harness)
    # The methods import torch, which aggregate_eval_stat.py must not: they come with the scripts that take one.
    if "forget_loss" in keys:
        from unlearn.methods.base import load_all

        for name, method in load_all().items():
            store.store(group="forget_loss", name=f"{name}_schema", node=method)
    if "stress" in keys:
        from unlearn.stress.schemas import STRESSES

        for name, stress in STRESSES.items():
            store.store(group="stress", name=f"{name}_schema", node=stress)


def load(config_name: str, overrides: list[str], schema: type) -> Any:
    """Compose config/<config_name>.yaml with command-line overrides and return the validated object."""
    register_schemas(config_name, schema)
    return to_object(_compose(config_name, [_lower_method(o) for o in overrides], schema), schema)


def launch(config_name: str, schema: type, main: Callable[[Any], object]) -> None:
    """Run an entry script: answer `--help`, turn mistakes into one sentence, hand the validated config to `main`."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for library in CHATTY:
        logging.getLogger(library).setLevel(logging.ERROR)
    register_schemas(config_name, schema)
    if HELP & set(sys.argv[1:]):
        sys.stdout.write(help_text(config_name, schema, main.__doc__ or ""))
        return
    try:
        for config in _configs(config_name, sys.argv[1:], schema):
            main(config)
    except UserError as error:
        sys.exit(_say(error))


def _configs(config_name: str, arguments: list[str], schema: type) -> list[Any]:
    """Return the validated config of every job: one, or with `-m` all of a sweep, so that none begins if one is wrong.

    Hydra's own main is not used: its messages do not say what is allowed, and a sweep leaves a file where it is run.
    """
    options = {argument for argument in arguments if argument.startswith("-")}
    for stranger in sorted(options - SWEEP):
        raise unknown("option", stranger, [*HELP, *SWEEP])
    overrides = [argument for argument in arguments if argument not in options]
    return [load(config_name, job, schema) for job in (_jobs(overrides) if options else [overrides])]


def _say(error: UserError) -> int:
    sys.stderr.write(f"error: {error}\n")
    return 2


def _lower_method(argument: str) -> str:
    """Accept CLEAR's spellings (NPO, KL, RMU, ...) of method names in any case."""
    key, equals, value = argument.partition("=")
    return f"{key}={value.lower()}" if equals and key == "forget_loss" else argument


def _jobs(overrides: list[str]) -> list[list[str]]:
    """Return the overrides of each job of a sweep (`-m key=a,b`), in Hydra's order."""
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException as error:
        raise UserError(first_line(error)) from error
    choices = [
        [f"{o.get_key_element()}={value}" for value in o.sweep_string_iterator()]
        if o.is_sweep_override()
        else [o.input_line]
        for o in parsed
    ]
    return [list(job) for job in product(*choices)]


def split_overrides(text: str) -> list[str]:
    """Return the overrides in a text, split as a shell splits words. Raises UserError for a quote without a partner."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserError(
            f'overrides="{text}" has a quote without its partner (Snakemake drops quotes at the ends); put an override '
            f"with quotes before one without."
        ) from error


def _compose(config_name: str, overrides: list[str], schema: type) -> DictConfig:
    try:
        with initialize_config_dir(str(CONFIG), version_base="1.3"):
            lists = [override for override in overrides if _gives_list(override)]
            config = compose(config_name, overrides=[override for override in overrides if override not in lists])
            for override in OverridesParser.create().parse_overrides(lists):
                OmegaConf.update(config, override.key_or_group, override.value())
            OmegaConf.resolve(config)
            return config
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_in_words(error, overrides, schema)) from error


def _gives_list(override: str) -> bool:
    """Tell whether a key that is called like a folder of config/ gets a list, so that no file of it can be meant.

    Hydra takes every such key for a choice of a file; an experiment's `eval=[...]` is a list of overrides.
    """
    key, _, value = override.partition("=")
    return value.startswith("[") and (CONFIG / key).is_dir()


def _in_words(error: Exception, overrides: list[str], schema: type) -> str:
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if key in REFUSED or override in REFUSED:
            return NO_GRADIENT.format(override)
        folder = CONFIG / key
        if folder.is_dir() and f"{key}/{value}" in str(error):
            options = sorted(path.stem for path in folder.glob("*.yaml"))
            return f'Unknown {key} "{value}"; allowed are: {", ".join(options)}.{nearest(value, options)}'
        if f"Could not override '{key}'" in str(error):
            return f'Unknown key "{key}" in "{override}".{_nearest_key(key, schema)} --help lists all keys.'
    message = first_line(error.__cause__ or error)
    return message if message.endswith(".") else f"{message}; --help lists all keys and their values."


def _nearest_key(key: str, schema: type) -> str:
    """Return a suggestion from the keys of the schema, of its sections and of every method."""
    known = {f.name for f in fields(schema)}
    known |= {f"{f.name}.{g.name}" for f in fields(schema) if is_dataclass(f.type) for g in fields(f.type)}
    if "forget_loss" in known:
        from unlearn.methods.base import load_all

        known |= {f"forget_loss.{g.name}" for method in load_all().values() for g in fields(method)}
    return nearest(key, sorted(known))


def help_text(config_name: str, schema: type, about: str) -> str:
    """Return the text of `--help`: what the script does, every key with its value and meaning, the groups."""
    config = _compose(config_name, [], schema)
    lines = [about.strip(), "", f"Keys (config/{config_name}.yaml; change one with key=value):"]
    lines += _key_lines(config, schema, "")
    keys = {key.name for key in fields(schema)}
    groups = [folder for folder, key in GROUPS.items() if key in keys]
    if groups:
        lines += ["", "Groups (choose a file with group=name; tasks with tasks=[name, ...]):"]
    for folder in groups:
        names = sorted(p.stem for p in (CONFIG / folder).glob("*.yaml"))
        lines.append(f"  {folder}: {', '.join(names)}")
    return "\n".join(lines) + "\n"


def _key_lines(config: DictConfig, schema: type, prefix: str) -> list[str]:
    lines = []
    for key in fields(schema):
        node = config._get_node(key.name)
        section = OmegaConf.get_type(node) if isinstance(node, DictConfig) else None
        about = key.metadata.get("help", "")
        if section is not None and is_dataclass(section):
            lines += [f"  {prefix}{key.name}: {about}", *_key_lines(node, section, f"  {prefix}{key.name}.")]
        else:
            value = OmegaConf.to_container(config, enum_to_str=True).get(key.name)
            lines.append(f"  {prefix + key.name:<34} {_plain(value):<28} {about}")
    return lines


def _plain(value: object) -> str:
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))

"""What every entry script shares: schemas, composition, `--help`, and errors as one sentence with exit status 2."""

import logging
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

from hydra import compose, initialize_config_dir
from hydra import main as hydra_main
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from unlearn.config.loading import PROJECT, first_line, to_object
from unlearn.config.schema import Data, EvalConfig, FinetuneConfig, ForgetConfig, ModelFamily
from unlearn.errors import UserError, nearest

CONFIG = PROJECT / "config"
SCHEMAS = {"finetune": FinetuneConfig, "forget": ForgetConfig, "eval": EvalConfig}
CHATTY = ("accelerate", "bitsandbytes", "DeepSpeed", "httpx")
"""Libraries that log what does not concern a run (a missing optional kernel, each saved file)."""
QUIET = ("hydra.run.dir=.", "hydra.output_subdir=null", "hydra.sweep.dir=.", "hydra.sweep.subdir=.")
NO_LOG_FILES = ("hydra/job_logging=none", "hydra/hydra_logging=none")


def register_schemas() -> None:
    """Enter every dataclass into Hydra's ConfigStore as `<name>_schema`."""
    from unlearn.evaluation.tasks import Task
    from unlearn.methods.base import load_all

    store = ConfigStore.instance()
    for name, schema in SCHEMAS.items():
        store.store(name=f"{name}_schema", node=schema)
    store.store(group="model_family", name="model_family_schema", node=ModelFamily)
    store.store(group="data", name="data_schema", node=Data)
    store.store(group="task", name="task_schema", node=Task)
    for name, method in load_all().items():
        store.store(group="forget_loss", name=f"{name}_schema", node=method)


def load(config_name: str, overrides: list[str], schema: type) -> Any:
    """Compose config/<config_name>.yaml with command-line overrides and return the validated object."""
    register_schemas()
    return to_object(_compose(config_name, overrides), schema)


def launch(config_name: str, schema: type, main: Callable[[Any], object]) -> None:
    """Run an entry script: answer `--help`, turn mistakes into one sentence, hand the validated config to `main`."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for library in CHATTY:
        logging.getLogger(library).setLevel(logging.ERROR)
    register_schemas()
    sys.argv[1:] = [_lower_method(argument) for argument in sys.argv[1:]]
    if {"--help", "-h"} & set(sys.argv[1:]):
        sys.stdout.write(help_text(config_name, schema, main.__doc__ or ""))
        return
    try:
        _check_arguments(config_name, sys.argv[1:])
        sys.argv += [*QUIET, *NO_LOG_FILES]
        hydra_main(version_base="1.3", config_path=str(CONFIG), config_name=config_name)(
            lambda config: _run(config, schema, main)
        )()
    except UserError as error:
        sys.exit(_say(error))


def _run(config: DictConfig, schema: type, main: Callable[[Any], object]) -> None:
    try:
        main(to_object(config, schema))
    except UserError as error:
        # Hydra adds a traceback of its own to a job's exceptions; leaving with a status is none.
        sys.exit(_say(error))


def _say(error: UserError) -> int:
    sys.stderr.write(f"error: {error}\n")
    return 2


def _lower_method(argument: str) -> str:
    """Accept CLEAR's spellings (NPO, KL, RMU, ...) of method names in any case."""
    key, equals, value = argument.partition("=")
    return f"{key}={value.lower()}" if equals and key == "forget_loss" else argument


def _check_arguments(config_name: str, arguments: list[str]) -> None:
    """Compose once before Hydra's own main, whose messages do not say what is allowed. Sweeps are checked per job."""
    if not any(a in ("-m", "--multirun") for a in arguments):
        _compose(config_name, [a for a in arguments if not a.startswith("-")])


def _compose(config_name: str, overrides: list[str]) -> DictConfig:
    try:
        with initialize_config_dir(str(CONFIG), version_base="1.3"):
            config = compose(config_name, overrides=overrides)
            OmegaConf.resolve(config)
            return config
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_in_words(error, overrides)) from error


def _in_words(error: Exception, overrides: list[str]) -> str:
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        folder = CONFIG / key
        if folder.is_dir() and f"{key}/{value}" in str(error):
            options = sorted(path.stem for path in folder.glob("*.yaml"))
            return f'Unknown {key} "{value}"; allowed are: {", ".join(options)}.{nearest(value, options)}'
        if f"Could not override '{key}'" in str(error):
            return f'Unknown key "{key}" in "{override}".{_nearest_key(key)} --help lists all keys.'
    message = first_line(error.__cause__ or error)
    return message if message.endswith(".") else f"{message}; --help lists all keys and their values."


def _nearest_key(key: str) -> str:
    known = [f.name for schema in SCHEMAS.values() for f in fields(schema)]
    known += [f"{f.name}.{g.name}" for f in fields(ForgetConfig) if is_dataclass(f.type) for g in fields(f.type)]
    return nearest(key, sorted(set(known)))


def help_text(config_name: str, schema: type, about: str) -> str:
    """Return the text of `--help`: what the script does, every key with its value and meaning, the groups."""
    config = _compose(config_name, [])
    lines = [about.strip(), "", f"Keys (config/{config_name}.yaml; change one with key=value):"]
    lines += _key_lines(config, schema, "")
    lines += ["", "Groups (choose a file with group=name):"]
    for folder in ("preset", "model_family", "data", "forget_loss", "task"):
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

"""Whether an evaluation says of a model what its own run says: which people it was to forget, and what of them."""

from pathlib import Path
from typing import Any

from unlearn.config.scripts import EvalConfig
from unlearn.errors import UserError

SPLITS = ("forget_split", "retain_split", "forget_modality")
FULL = "full"


def check_origin(cfg: EvalConfig) -> None:
    """Raise UserError where `model_path` is a run of other splits or another modality than the evaluation names.

    A gold that was trained without other people, or without other things of them, is no measure here, and the log would
    not show it. A model trained on everyone, and a folder that is no run of this suite, fit every evaluation.
    """
    run = _config(cfg.model_path)
    asked = {key: getattr(cfg, key) for key in SPLITS} | {"forget_modality": cfg.forget_modality.name}
    given = {key: run[key] for key in SPLITS if key in run} if "forget_loss" in run else _of_finetuning(run)
    other = {key: value for key, value in given.items() if value != asked[key]}
    if other:
        told = ", ".join(f"{key}={value}" for key, value in other.items())
        here = ", ".join(f"{key}={asked[key]}" for key in other)
        raise UserError(f'model_path "{cfg.model_path}" was trained with {told}, not {here}; evaluate it with {told}.')


def _of_finetuning(run: dict[str, Any]) -> dict[str, Any]:
    split = run.get("split", FULL)
    return {} if split == FULL else {"retain_split": split, "forget_modality": run["forget_modality"]}


def _config(model_path: str | None) -> dict[str, Any]:
    """Return the config of the run in `model_path`, nothing where there is none."""
    import yaml

    file = Path(model_path or "") / "config.yaml"
    if model_path is None or not file.is_file():
        return {}
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}

"""The runs and evaluations of an experiment's models: calls of entry scripts with the configs that they build."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from unlearn.experiment.config import STRESS, ExperimentConfig, Model, base
from unlearn.experiment.scripts import script_config

REPLACE = "overwrite_dir=true"
"""A stage whose config changed replaces what it made before: the folders are the experiment's own."""


@dataclass(frozen=True)
class Job:
    """One call of an entry script: `script` (as "mm/forget"), its overrides, and the config built from them."""

    script: str
    overrides: tuple[str, ...]
    config: Any


def _job(script: str, overrides: tuple[str, ...], own: Mapping[str, str | float | None]) -> Job:
    """Return a run with keys of its `own`, on which no other key depends.

    To compose a config takes 0.1 s, so runs that differ in such keys alone share one.
    """
    text = [f"{key}={'null' if value is None else value}" for key, value in own.items()]
    return Job(script, (*overrides, *text), replace(_composed(script, overrides), **own))


@cache
def _composed(script: str, overrides: tuple[str, ...]) -> Any:
    return script_config(script, list(overrides))


def finetune_job(cfg: ExperimentConfig, model: Model, own: list[str]) -> Job:
    """Return the run that makes base or a gold; `own` are its own overrides."""
    modality = f"forget_modality={cfg.forget_modality.name}"
    place = f"save_dir={model.folder}"
    return _job(f"{cfg.track.name}/finetune", (*cfg.overrides, *cfg.finetune, *own, modality, place, REPLACE), {})


def forget_job(cfg: ExperimentConfig, model: Model, start: Model, shared: list[str]) -> Job:
    """Return the run that makes an unlearned model from `start`; `shared` are the splits."""
    given = cfg.methods[model.name]
    named = any(text.startswith("forget_loss=") for text in given)
    method = [] if named else [f"forget_loss={model.name}"]
    overrides = (*cfg.overrides, *cfg.forget, *method, *given, *shared, f"model_path={start.checkpoint}", REPLACE)
    return _job(f"{cfg.track.name}/forget", overrides, {**model.settings, "save_dir": str(model.folder)})


def eval_jobs(cfg: ExperimentConfig, model: Model, shared: list[str]) -> Iterator[Job]:
    """Yield a model's evaluation, then those under stress, which the pretrained model has none of."""
    metrics = ("metrics=released",) if cfg.released else ()
    for stress in (None, *(cfg.stresses if model.trained else ())):
        overrides = (*cfg.overrides, *cfg.eval, *metrics, *_stress(cfg, stress), *shared, REPLACE)
        own = {"model_path": model.checkpoint, "save_dir": str(model.results(stress))}
        yield _job(f"{cfg.track.name}/eval", overrides, own)


def _stress(cfg: ExperimentConfig, stress: str | None) -> list[str]:
    """Return the overrides of a stress; where its file leaves open whose projector is put in, it is base's."""
    from omegaconf import OmegaConf

    if stress is None:
        return []
    open_source = OmegaConf.is_missing(OmegaConf.load(STRESS / f"{stress}.yaml"), "source")
    return [f"stress={stress}", *([f"stress.source={base(cfg).checkpoint}"] if open_source else [])]


def splits(cfg: ExperimentConfig) -> list[str]:
    """Return the overrides that say what is to be forgotten, for all scripts that take them."""
    keys = ("forget_split", "retain_split")
    return [*(f"{key}={getattr(cfg, key)}" for key in keys), f"forget_modality={cfg.forget_modality.name}"]

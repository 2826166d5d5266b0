"""The runs and evaluations of an experiment's models, as calls of entry scripts."""

from collections.abc import Iterator

from unlearn.experiment.calls import REPLACE, Job, job
from unlearn.experiment.config import STRESS, ExperimentConfig, Model, base


def finetune_job(cfg: ExperimentConfig, model: Model, own: list[str]) -> Job:
    """Return the run that makes base or a gold; `own` are its own overrides."""
    modality = f"forget_modality={cfg.forget_modality.name}"
    place = f"save_dir={model.folder}"
    return job(f"{cfg.track.name}/finetune", (*cfg.overrides, *cfg.finetune, *own, modality, place, REPLACE), {})


def forget_job(cfg: ExperimentConfig, model: Model, start: Model, shared: list[str]) -> Job:
    """Return the run that makes an unlearned model from `start`; `shared` are the splits."""
    given = cfg.methods[model.name]
    named = any(text.startswith("forget_loss=") for text in given)
    method = [] if named else [f"forget_loss={model.name}"]
    overrides = (*cfg.overrides, *cfg.forget, *method, *given, *shared, f"model_path={start.checkpoint}", REPLACE)
    return job(f"{cfg.track.name}/forget", overrides, {**model.settings, "save_dir": str(model.folder)})


def eval_jobs(cfg: ExperimentConfig, model: Model, shared: list[str]) -> Iterator[Job]:
    """Yield a model's evaluation, then those under stress, which the pretrained model has none of."""
    metrics = ("metrics=released",) if cfg.released else ()
    for stress in (None, *(cfg.stresses if model.trained else ())):
        overrides = (*cfg.overrides, *cfg.eval, *metrics, *_stress(cfg, stress), *shared, REPLACE)
        own = {"model_path": model.checkpoint, "save_dir": str(model.results(stress))}
        yield job(f"{cfg.track.name}/eval", overrides, own)


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

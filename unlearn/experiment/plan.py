"""From the config of an experiment to its stages: a pure function that tests read without any engine.

    base, one gold per seed  ->  forget  ->  eval_methods  ->  report
                             ->  eval_references  ->

Where data or the pretrained model have to be made, `prepare` stands before them all.

An evaluation stage also has its models' evaluations under stress. Under a sweep the forget runs are trials, and
`select` stands before the report. Several forget modalities have one base, the other stages each, and `leakage` after
all evaluations.

Networks that tell faces apart have a plan of their own (faces.py).
"""

from collections.abc import Sequence
from functools import singledispatch
from pathlib import Path

from unlearn.experiment import faces
from unlearn.experiment.calls import REPLACE, Job
from unlearn.experiment.config import (
    PREPARED,
    ExperimentConfig,
    base,
    golds,
    parts,
    references,
    swept,
    unlearned,
)
from unlearn.experiment.identity import of_job, state
from unlearn.experiment.jobs import eval_jobs, finetune_job, forget_job, splits
from unlearn.experiment.stages import Stage, heavy, light, listed, quoted, shares


@singledispatch
def plan(cfg: ExperimentConfig) -> list[Stage]:
    """Return the stages in an order in which they can run. Raises UserError where a run's config has mistakes."""
    prepared = _prepare(cfg)
    base_stage = _stage(cfg, "base", [finetune_job(cfg, base(cfg), ["split=full"])], prepared)
    stages, evaluated = [*prepared, base_stage], []
    for part in parts(cfg):
        of_part, judged = _part(part, prepared, base_stage)
        stages += of_part
        evaluated += judged
    return [*stages, *([_leakage(cfg, evaluated)] if cfg.forget_modalities else [])]


plan.register(faces.FaceExperiment, faces.plan)


def _part(cfg: ExperimentConfig, prepared: list[Stage], base_stage: Stage) -> tuple[list[Stage], list[Stage]]:
    """Return the stages of one forget modality after base's, and those among them that evaluate."""
    shared = splits(cfg)
    stages = [
        _stage(cfg, f"gold_seed{s}", [finetune_job(cfg, gold, [f"split={cfg.retain_split}", f"seed={s}"])], prepared)
        for s, gold in zip(cfg.gold_seeds, golds(cfg), strict=True)
    ]
    trained, evaluated = [base_stage, *stages], []
    for suffix, models in shares(references(cfg), cfg.runs_per_process):
        jobs = [job for model in models for job in eval_jobs(cfg, model, shared)]
        evaluated.append(_stage(cfg, f"eval_references{suffix}", jobs, trained))
    stages += evaluated
    options = ("--trials",) if cfg.sweep.asked else ()
    for suffix, models in shares(unlearned(cfg), cfg.runs_per_process):
        runs = [forget_job(cfg, model, base(cfg), shared) for model in models]
        forget = _stage(cfg, f"forget{suffix}", runs, [base_stage], options)
        jobs = [job for model in models for job in eval_jobs(cfg, model, shared)]
        evaluated.append(_stage(cfg, f"eval_methods{suffix}", jobs, [forget], options))
        stages += [forget, evaluated[-1]]
    select = [_select(cfg, evaluated)] if cfg.sweep.asked else []
    return [*stages, *select, *_reports(cfg, [*evaluated, *select])], evaluated


def _prepare(cfg: ExperimentConfig) -> list[Stage]:
    """Return the stage that makes data and pretrained model, if there is anything to make."""
    if cfg.prepare.module is None:
        return []
    source, place = cfg.prepare.source, str(cfg.home / PREPARED)
    own = (f"source={quoted(source)}", f"save_dir={quoted(place)}", REPLACE)
    return [light(cfg, "prepare", ("-m", cfg.prepare.module, *own, *cfg.prepare.overrides), state(source), [])]


def _stage(
    cfg: ExperimentConfig, name: str, jobs: Sequence[Job], needs: Sequence[Stage], options: Sequence[str] = ()
) -> Stage:
    return heavy(cfg, name, jobs, [of_job(job, cfg.home / PREPARED) for job in jobs], needs, options)


def _select(cfg: ExperimentConfig, needs: Sequence[Stage]) -> Stage:
    overrides = (
        f"save_dir={swept(cfg)}",
        f"golds={listed(gold.folder for gold in golds(cfg))}",
        f"methods={listed(cfg.methods)}",
        f"sweep.lr={listed(map(repr, cfg.sweep.lr))}",
        f"sweep.num_epochs={listed(cfg.sweep.num_epochs)}",
        f"sweep.seed={cfg.sweep.seed}",
    )
    return light(cfg, "select", ("-m", "unlearn.experiment.select", *overrides), [], needs)


def _reports(cfg: ExperimentConfig, needs: Sequence[Stage]) -> list[Stage]:
    """Return the report, and where it is asked for the one in the published metrics."""
    root = Path(cfg.root)
    models = [*references(cfg), *([] if cfg.sweep.asked else unlearned(cfg))]
    overrides = (
        *(f"+models.{model.name}={model.folder}" for model in models),
        f"golds={listed(gold.name for gold in golds(cfg))}",
        f"submitted_by={quoted(cfg.submitted_by)}",
        *([f"sweep={swept(cfg)}"] if cfg.sweep.asked else []),
        *([f"stresses={listed(cfg.stresses)}"] if cfg.stresses else []),
    )
    own = {"report": (f"save_dir={root}",)}
    if cfg.released:
        own["report_released"] = ("metrics=released", f"save_dir={root / 'released'}")
    return [light(cfg, name, ("-m", "unlearn.report", *overrides, *more), [], needs) for name, more in own.items()]


def _leakage(cfg: ExperimentConfig, needs: Sequence[Stage]) -> Stage:
    first = parts(cfg)[0]
    overrides = (
        *(f"+experiments.{part.forget_modality.name}={part.root}" for part in parts(cfg)),
        f"base={base(first).folder.name}",
        f"golds={listed(gold.folder.name for gold in golds(first))}",
        f"methods={listed(cfg.methods)}",
        f"stresses={listed(cfg.stresses)}",
        f"save_dir={cfg.root}",
    )
    return light(cfg, "leakage", ("-m", "unlearn.report.leakage", *overrides), [], needs)

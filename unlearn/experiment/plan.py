"""From the config of an experiment to its stages: a pure function that tests read without any engine.

    base, one gold per seed  ->  forget  ->  eval_methods  ->  report
                             ->  eval_references  ->

Where data or the pretrained model have to be made, `prepare` stands before them all.

An evaluation stage also has its models' evaluations under stress. Under a sweep the forget runs are trials, and
`select` stands before the report. Several forget modalities have one base, the other stages each, and `leakage` after
all evaluations.

Starting Python with torch, transformers and peft costs 10 to 18 s, so several runs share a process.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from unlearn.experiment.config import (
    ACCELERATE,
    PREPARED,
    ExperimentConfig,
    Model,
    base,
    golds,
    parts,
    references,
    swept,
    unlearned,
)
from unlearn.experiment.identity import digest, of_job, state
from unlearn.experiment.jobs import REPLACE, Job, eval_jobs, finetune_job, forget_job, splits

ACCELERATE_LAUNCH = (sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch")
NEXT = "+"
"""Stands between the overrides of two runs on the command line of a stage; no override is called so."""


@dataclass(frozen=True)
class Stage:
    """One process of an experiment.

    inputs     markers of the stages that it needs
    threads    of a process
    processes  side by side; 0: the stage computes nothing that a GPU could do
    minutes    time limit on a cluster
    mem_mb     memory on a cluster
    gpus       asked from a cluster
    digest     hash of all that decides its results: its runs' configs, the package's version, the stages before it
    """

    root: Path
    name: str
    jobs: tuple[Job, ...]
    command: tuple[str, ...]
    inputs: tuple[Path, ...]
    threads: int
    processes: int
    minutes: int
    mem_mb: int
    gpus: int
    digest: str

    @property
    def cores(self) -> int:
        """The threads of all processes."""
        return self.threads * max(1, self.processes)

    @property
    def marker(self) -> Path:
        """The file that says that this very stage ended.

        The digest is in its place, so that it is absent for a changed config, whatever the files' times say.
        """
        return self.root / "stages" / self.name / self.digest / "done.json"


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


def _part(cfg: ExperimentConfig, prepared: list[Stage], base_stage: Stage) -> tuple[list[Stage], list[Stage]]:
    """Return the stages of one forget modality after base's, and those among them that evaluate."""
    shared = splits(cfg)
    stages = [
        _stage(cfg, f"gold_seed{s}", [finetune_job(cfg, gold, [f"split={cfg.retain_split}", f"seed={s}"])], prepared)
        for s, gold in zip(cfg.gold_seeds, golds(cfg), strict=True)
    ]
    trained, evaluated = [base_stage, *stages], []
    for suffix, models in _shares(references(cfg), cfg.runs_per_process):
        jobs = [job for model in models for job in eval_jobs(cfg, model, shared)]
        evaluated.append(_stage(cfg, f"eval_references{suffix}", jobs, trained))
    stages += evaluated
    options = ("--trials",) if cfg.sweep.asked else ()
    for suffix, models in _shares(unlearned(cfg), cfg.runs_per_process):
        runs = [forget_job(cfg, model, base(cfg), shared) for model in models]
        forget = _stage(cfg, f"forget{suffix}", runs, [base_stage], options)
        jobs = [job for model in models for job in eval_jobs(cfg, model, shared)]
        evaluated.append(_stage(cfg, f"eval_methods{suffix}", jobs, [forget], options))
        stages += [forget, evaluated[-1]]
    select = [_select(cfg, evaluated)] if cfg.sweep.asked else []
    return [*stages, *select, *_reports(cfg, [*evaluated, *select])], evaluated


def processes(launch: str) -> int:
    """Return the number of processes, hence of GPUs where there are any, of a file of config/accelerate."""
    from omegaconf import OmegaConf

    return OmegaConf.load(ACCELERATE / f"{launch}.yaml")["num_processes"]


def _prepare(cfg: ExperimentConfig) -> list[Stage]:
    """Return the stage that makes data and pretrained model, if there is anything to make."""
    if cfg.prepare.module is None:
        return []
    source, place = cfg.prepare.source, str(cfg.home / PREPARED)
    own = (f"source={_quoted(source)}", f"save_dir={_quoted(place)}", REPLACE)
    return [_light(cfg, "prepare", (cfg.prepare.module, *own, *cfg.prepare.overrides), [], [source])]


def _shares(models: Sequence[Model], size: int) -> Iterator[tuple[str, Sequence[Model]]]:
    """Yield at most `size` models at a time, each time with an ending for the stage's name: none if one is enough."""
    for number, start in enumerate(range(0, len(models), size), 1):
        yield "" if len(models) <= size else f"_{number}", models[start : start + size]


def _stage(
    cfg: ExperimentConfig, name: str, jobs: Sequence[Job], needs: Sequence[Stage], options: Sequence[str] = ()
) -> Stage:
    """Return a stage of runs of one script, in one process (or as many as config/accelerate says).

    options  of unlearn.experiment.stage
    """
    file = ACCELERATE / f"{cfg.launch}.yaml"
    arguments = [text for job in jobs for text in (NEXT, *job.overrides)][1:]
    module = ("-m", "unlearn.experiment.stage", *options, jobs[0].script)
    count = processes(cfg.launch)
    content = [file.read_text(), *(of_job(job, cfg.home / PREPARED) for job in jobs)]
    return Stage(
        root=cfg.home,
        name=f"{cfg.prefix}{name}",
        jobs=tuple(jobs),
        command=(*ACCELERATE_LAUNCH, "--config_file", str(file), *module, *arguments),
        inputs=tuple(stage.marker for stage in needs),
        threads=cfg.threads,
        processes=count,
        minutes=cfg.cluster.minutes * len(jobs),
        mem_mb=cfg.cluster.mem_mb * count,
        gpus=cfg.cluster.gpus * count,
        digest=digest(content, [stage.digest for stage in needs]),
    )


def _select(cfg: ExperimentConfig, needs: Sequence[Stage]) -> Stage:
    overrides = (
        f"save_dir={swept(cfg)}",
        f"golds={_list(gold.folder for gold in golds(cfg))}",
        f"methods={_list(cfg.methods)}",
        f"sweep.lr={_list(map(repr, cfg.sweep.lr))}",
        f"sweep.num_epochs={_list(cfg.sweep.num_epochs)}",
        f"sweep.seed={cfg.sweep.seed}",
    )
    return _light(cfg, "select", ("unlearn.experiment.select", *overrides), needs)


def _reports(cfg: ExperimentConfig, needs: Sequence[Stage]) -> list[Stage]:
    """Return the report, and where it is asked for the one in the published metrics."""
    root = Path(cfg.root)
    models = [*references(cfg), *([] if cfg.sweep.asked else unlearned(cfg))]
    overrides = (
        *(f"+models.{model.name}={model.folder}" for model in models),
        f"golds={_list(gold.name for gold in golds(cfg))}",
        f"submitted_by={_quoted(cfg.submitted_by)}",
        *([f"sweep={swept(cfg)}"] if cfg.sweep.asked else []),
        *([f"stresses={_list(cfg.stresses)}"] if cfg.stresses else []),
    )
    own = {"report": (f"save_dir={root}",)}
    if cfg.released:
        own["report_released"] = ("metrics=released", f"save_dir={root / 'released'}")
    return [_light(cfg, name, ("unlearn.report", *overrides, *more), needs) for name, more in own.items()]


def _leakage(cfg: ExperimentConfig, needs: Sequence[Stage]) -> Stage:
    first = parts(cfg)[0]
    overrides = (
        *(f"+experiments.{part.forget_modality.name}={part.root}" for part in parts(cfg)),
        f"base={base(first).folder.name}",
        f"golds={_list(gold.folder.name for gold in golds(first))}",
        f"methods={_list(cfg.methods)}",
        f"stresses={_list(cfg.stresses)}",
        f"save_dir={cfg.root}",
    )
    return _light(cfg, "leakage", ("unlearn.report.leakage", *overrides), needs)


def _light(
    cfg: ExperimentConfig, name: str, command: Sequence[str], needs: Sequence[Stage], read: Sequence[str] = ()
) -> Stage:
    """Return a stage that no GPU could hasten: `command` is a module and its overrides.

    read  folders that no stage makes
    """
    return Stage(
        root=cfg.home,
        name=f"{cfg.prefix}{name}",
        jobs=(),
        command=(sys.executable, "-m", *command),
        inputs=tuple(stage.marker for stage in needs),
        threads=1,
        processes=0,
        minutes=cfg.cluster.minutes,
        mem_mb=cfg.cluster.mem_mb,
        gpus=0,
        digest=digest([*command, *map(state, read)], [stage.digest for stage in needs]),
    )


def _quoted(text: str) -> str:
    """Return a text so that an override has it for its value: Hydra gives blanks, commas and the like a meaning."""
    # In quotes a backslash is itself, unless a quote comes after it or after more of them.
    escaped = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), text)
    return f"'{escaped}'"


def _list(values: Iterable[object]) -> str:
    return f"[{','.join(map(str, values))}]"

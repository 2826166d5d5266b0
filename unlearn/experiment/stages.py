"""The stages of an experiment: each a process of several calls of one script, or a light one without a GPU.

Starting Python with torch, transformers and peft costs 10 to 18 s, so several runs share a process.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from unlearn.experiment.base import ACCELERATE, Launched
from unlearn.experiment.calls import Job
from unlearn.experiment.identity import digest

ACCELERATE_LAUNCH = (sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch")
Item = TypeVar("Item")
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


def processes(launch: str) -> int:
    """Return the number of processes, hence of GPUs where there are any, of a file of config/accelerate."""
    from omegaconf import OmegaConf

    return OmegaConf.load(ACCELERATE / f"{launch}.yaml")["num_processes"]


def shares(models: Sequence[Item], size: int) -> Iterator[tuple[str, Sequence[Item]]]:
    """Yield at most `size` models at a time, each time with an ending for the stage's name: none if one is enough."""
    for number, start in enumerate(range(0, len(models), size), 1):
        yield "" if len(models) <= size else f"_{number}", models[start : start + size]


def heavy(
    cfg: Launched,
    name: str,
    jobs: Sequence[Job],
    content: Sequence[Any],
    needs: Sequence[Stage],
    options: Sequence[str] = (),
) -> Stage:
    """Return a stage of runs of one script, in one process (or as many as config/accelerate says).

    content  decides the results of the runs (identity.py)
    options  of unlearn.experiment.stage
    """
    file = ACCELERATE / f"{cfg.launch}.yaml"
    arguments = [text for job in jobs for text in (NEXT, *job.overrides)][1:]
    module = ("-m", "unlearn.experiment.stage", *options, jobs[0].script)
    count = processes(cfg.launch)
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
        digest=digest([file.read_text(), *content], [stage.digest for stage in needs]),
    )


def light(cfg: Launched, name: str, command: Sequence[str], content: Sequence[Any], needs: Sequence[Stage]) -> Stage:
    """Return a stage that no GPU could hasten.

    command  of Python: a module or a script, and its overrides
    content  decides its results beside the command
    """
    return Stage(
        root=cfg.home,
        name=f"{cfg.prefix}{name}",
        jobs=(),
        command=(sys.executable, *command),
        inputs=tuple(stage.marker for stage in needs),
        threads=1,
        processes=0,
        minutes=cfg.cluster.minutes,
        mem_mb=cfg.cluster.mem_mb,
        gpus=0,
        digest=digest([*command, *content], [stage.digest for stage in needs]),
    )


def quoted(text: str) -> str:
    """Return a text so that an override has it for its value: Hydra gives blanks, commas and the like a meaning."""
    # In quotes a backslash is itself, unless a quote comes after it or after more of them.
    escaped = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), text)
    return f"'{escaped}'"


def listed(values: Iterable[object]) -> str:
    """Return a list as the value of an override."""
    return f"[{','.join(map(str, values))}]"

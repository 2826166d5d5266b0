"""What the configurations of all experiments share: where they write, and how their stages are launched."""

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from unlearn.config.schema import MISSING, option, out_of_range
from unlearn.entry import CONFIG
from unlearn.errors import unknown

ACCELERATE = CONFIG / "accelerate"
NAME = re.compile(r"[A-Za-z0-9][\w-]*")
"""Of a folder of an experiment."""
FOLDERS = ("stages", "logs", "figures")
"""Folders of every experiment, which are no model's."""


@dataclass
class Cluster:
    """What a stage asks a cluster for (profiles/slurm); on a single machine none of it matters."""

    mem_mb: int = option(16000, "memory of a process in MB")
    minutes: int = option(60, "longest time of one run or evaluation; a stage gets it once for each of them")
    gpus: int = option(1, "GPUs of a process: 1, or 0 on a cluster without")

    def problems(self) -> list[str]:
        """Return every value that is out of range."""
        amounts = {"cluster.mem_mb": self.mem_mb, "cluster.minutes": self.minutes}
        found = [out_of_range(key, value, "above 0") for key, value in amounts.items() if value < 1]
        return found + ([out_of_range("cluster.gpus", self.gpus, "0 or 1")] if self.gpus not in (0, 1) else [])


@dataclass
class Launched:
    """Keys of every experiment."""

    root: str = option(MISSING, "folder of everything that the experiment writes")
    overrides: list[str] = option(list, "overrides of every script, e.g. preset=clear_llava")
    runs_per_process: int = option(8, "most models that one process makes or evaluates, one after the other")
    threads: int = option(1, "CPU threads of a stage")
    launch: str = option("single", "file of config/accelerate: how a stage is launched")
    cluster: Cluster = option(Cluster, "what a stage asks a cluster for")

    @property
    def home(self) -> Path:
        """Folder of the markers and logs of its stages."""
        return Path(self.root)

    @property
    def prefix(self) -> str:
        """What the names of its stages begin with."""
        return ""

    @property
    def outcome(self) -> str:
        """What there is to look at when all stages have ended."""
        return f"the table is {self.root}/summary.md, the page {self.root}/report.html"

    def problems(self) -> list[str]:
        """Return numbers below 1, and a way of launching that there is not."""
        numbers = {key: getattr(self, key) for key in ("runs_per_process", "threads")}
        found = [out_of_range(key, value, "above 0") for key, value in numbers.items() if value < 1]
        known = sorted(path.stem for path in ACCELERATE.glob("*.yaml"))
        return found if self.launch in known else [*found, str(unknown("launch", self.launch, known))]


def decided(lists: Mapping[str, list[str]], keys: Container[str]) -> Iterator[str]:
    """Yield a sentence for every override that sets one of the `keys` which the plan itself sets."""
    for where, text in setting(lists, keys):
        yield f'{where} sets "{text}", but the experiment decides {key_of(text)}; leave it out.'


def setting(lists: Mapping[str, list[str]], keys: Container[str]) -> Iterator[tuple[str, str]]:
    """Yield the overrides that set one of `keys`, each after the name of its list."""
    yield from ((where, text) for where, given in lists.items() for text in given if key_of(text) in keys)


def key_of(override: str) -> str:
    """Return the key that an override sets."""
    return override.lstrip("+~").partition("=")[0]

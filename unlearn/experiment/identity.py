"""What decides the results of a stage, as one hash: by it a stage that ended is known again."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from unlearn import __version__
from unlearn.evaluation.tasks import load_tasks
from unlearn.experiment.calls import Job
from unlearn.fingerprint import of_json
from unlearn.run import NOT_IDENTITY, plain, sources

IGNORED = tuple(key for key in NOT_IDENTITY if key != "save_dir")
"""Keys whose change does not make a stage run again."""


def digest(content: list[Any], needs: Sequence[str]) -> str:
    """Return the hash of a stage's content, of the digests of those that it needs and of the package's version."""
    return of_json([__version__, content, [*needs]])


def of_job(job: Job, made: Path) -> list[Any]:
    """Return what decides the results of a run, as far as its config tells.

    made  folder that the experiment makes first: it need not be there yet, and the stage that makes it has a digest
    """
    config = job.config
    tasks = _tasks(tuple(config.tasks)) if hasattr(config, "tasks") else []
    # A benchmark that is written where it is absent is a function of its seed.
    data = [*sources(config), config.data.text_path] if config.data.generate_seed is None else []
    read = [place for place in (config.model_family.hub_id, *data) if made not in Path(place).parents]
    return [job.script, plain(config, IGNORED), tasks, *map(state, read)]


def state(place: str) -> list[Any]:
    """Return names, sizes and times of the files of a model or data set: their content would cost seconds a gigabyte.

    A new time with old content starts a stage whose runs find themselves done, which costs the start alone.
    """
    files = [Path(place), *sorted(Path(place).rglob("*"))]
    return [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files if file.is_file()]


@cache
def _tasks(names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [plain(task) for task in load_tasks(names)]

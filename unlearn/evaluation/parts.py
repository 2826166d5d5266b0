"""Finished batches on disk while an evaluation runs: what an interruption leaves is picked up by the next start.

One line of a part file is one whole batch, so a line that was cut off loses that batch alone.
"""

import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unlearn.errors import UserError
from unlearn.files import write_text

log = logging.getLogger(__name__)

BatchKey = tuple[str, int]
"""(task, index of the batch among the task's batches)."""


@dataclass
class Finished:
    """One finished batch.

    attempt  which start of the evaluation computed it, from 0; with `rank` it tells whose seconds add up
    """

    fingerprint: str
    task: str
    batch: int
    attempt: int
    rank: int
    seconds: float
    forwards: int
    peak_memory_bytes: int
    records: list[dict[str, Any]]


class Parts:
    """The folder of part files of one evaluation."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        self.fingerprint = fingerprint

    def check(self) -> None:
        """Raise UserError where the folder holds batches of another evaluation."""
        for finished in self._lines():
            if finished.fingerprint != self.fingerprint:
                raise UserError(
                    f"{self.folder} holds an interrupted evaluation with another model, other data or settings "
                    f"(fingerprint {finished.fingerprint}, now {self.fingerprint}); finish it with its own settings, "
                    f"or discard it with overwrite_dir=true, or write to another folder."
                )

    def read(self) -> dict[BatchKey, Finished]:
        """Return the finished batches, each once."""
        return {(f.task, f.batch): f for f in self._lines() if f.fingerprint == self.fingerprint}

    def tidy(self) -> None:
        """Put what is usable into one file and remove the rest, so that no line is appended to a cut-off one."""
        usable = self.read()
        old = list(self.folder.glob("*.jsonl"))
        self.folder.mkdir(parents=True, exist_ok=True)
        if usable:
            write_text(self.folder / "kept.jsonl", "".join(_line(f) for f in usable.values()))
        for path in old:
            if path.name != "kept.jsonl" or not usable:
                path.unlink()

    def append(self, finished: Finished) -> None:
        """Write a finished batch to the file of its rank, at once."""
        with (self.folder / f"rank{finished.rank}.jsonl").open("a", encoding="utf-8") as file:
            file.write(_line(finished))

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _lines(self) -> Iterator[Finished]:
        for path in sorted(self.folder.glob("*.jsonl")):
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1):
                if not line:
                    continue
                try:
                    yield Finished(**json.loads(line))
                except (json.JSONDecodeError, TypeError):
                    log.warning("Line %d of %s is cut off; its batch is computed again.", number, path)


def _line(finished: Finished) -> str:
    return json.dumps(asdict(finished), ensure_ascii=False) + "\n"

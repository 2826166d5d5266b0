"""Start the command of a stage: its threads, its GPUs, its log, and the marker when it has ended.

    python -m unlearn.experiment.launch --root runs/demo --stage base --digest 0123 -- accelerate launch ...

It imports no torch: the Snakefile calls it once per stage.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from unlearn import __version__
from unlearn.errors import UserError
from unlearn.experiment.locks import locked, taken_gpus, visible_gpus
from unlearn.files import write_json

SEPARATOR = "=" * 20
"""Stands in a log around the words that another start of the stage begins."""
LOG_TAIL = 15
"""Lines of the log that are shown when a stage fails without a word of its own."""


def run_stage(root: Path, stage: str, digest: str, command: Sequence[str], threads: int, processes: int) -> None:
    """Run `command`; its output is added to <root>/logs/<stage>.log, its marker is in <root>/stages/<stage>/<digest>.

    processes  of the command, each of which gets a GPU where there are any; 0 for a command that needs none
    Raises UserError where the root holds something else, and where the command fails.
    """
    check_root(root)
    marker = root / "stages" / stage / digest / "done.json"
    with locked(root / "stages" / stage / "lock") as lock:
        if marker.is_file():
            return
        _withdraw(marker.parent.parent)
        gpus = visible_gpus() if processes else []
        started = time.perf_counter()
        with taken_gpus(processes if gpus else 0, gpus) as devices:
            # A progress bar in a log is read by nobody: it is written every ten seconds instead of ten times a second.
            environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TQDM_MININTERVAL": "10"}
            if devices:
                environment["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
            _run(command, root / "logs" / f"{stage}.log", digest, environment, [lock, *devices.values()])
        marker.parent.mkdir(parents=True, exist_ok=True)
        facts = {"stage": stage, "digest": digest, "version": __version__, "command": list(command)}
        write_json(marker, {**facts, "seconds": round(time.perf_counter() - started, 1)})


def check_root(root: Path) -> None:
    """Raise UserError where `root` is not an experiment's: stages replace what lies in their folders."""
    if root.is_dir() and any(root.iterdir()) and not (root / "stages").is_dir():
        raise UserError(f"root={root} holds files that no experiment made; set root=... to a new folder.")


def _withdraw(folder: Path) -> None:
    """Remove the markers of the stage's other configs: what they stand for is about to be replaced."""
    for old in folder.glob("*/done.json"):
        old.unlink()
        old.parent.rmdir()


def _run(
    command: Sequence[str], log: Path, digest: str, environment: dict[str, str], descriptors: Sequence[int]
) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        # What an earlier start said stays: it may tell why there is another one.
        start = file.tell()
        if start:
            file.write(f"\n{SEPARATOR} started again, digest {digest} {SEPARATOR}\n")
            file.flush()
        status = subprocess.run(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment, pass_fds=descriptors, check=False
        ).returncode
    if status:
        raise UserError(f"the stage ended with status {status}; its log is {log}:\n{_cause(log, start)}")


def _cause(log: Path, start: int) -> str:
    """Return what the log calls errors from byte `start` on, or else its end; of a progress bar its last state."""
    text = log.read_bytes()[start:].decode(errors="replace")
    lines = [line.rpartition("\r")[2] for line in text.rstrip("\n").split("\n")]
    errors = list(dict.fromkeys(line for line in lines if line.startswith("error: ")))
    return "\n".join(errors or lines[-LOG_TAIL:])


def main(arguments: Sequence[str]) -> int:
    """Parse a command line, run the stage and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m unlearn.experiment.launch", description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--stage", required=True)
    parser.add_argument("--digest", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args(arguments)
    command = given.command[1:] if given.command[:1] == ["--"] else given.command
    try:
        run_stage(given.root, given.stage, given.digest, command, given.threads, given.processes)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

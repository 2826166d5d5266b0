"""Locks that end with the processes that hold them, and GPUs that are taken by them.

A lock is an open file (flock), handed on to the command that runs under it: it is held until the last process with the
file open is gone. So nothing stale is left by a kill, and a command that outlives its starter still keeps others out.
"""

import fcntl
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from unlearn.errors import UserError

WAIT_SECONDS = 2.0


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold the lock file `path`, waiting for it as long as it takes; yield its descriptor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use: those of CUDA_VISIBLE_DEVICES, or else all that the driver lists."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() and name.strip() != "-1"]
    try:
        query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return []


@contextmanager
def taken_gpus(count: int, gpus: Sequence[str]) -> Iterator[dict[str, int]]:
    """Take `count` of `gpus`, as soon as as many are free; yield them with their locks' descriptors.

    All or none: who held one and waited for another could wait for ever. Raises UserError where there are too few.
    """
    if count > len(gpus):
        raise UserError(f"{count} GPUs are asked for but {len(gpus)} are visible; set launch=... to a file with fewer.")
    held: dict[str, int] = {}
    try:
        while len(held) < count:
            held = _take(count, gpus)
            if len(held) < count:
                _release(held)
                time.sleep(WAIT_SECONDS)
        yield held
    finally:
        _release(held)


def _take(count: int, gpus: Sequence[str]) -> dict[str, int]:
    """Return up to `count` locks that are free at this moment."""
    held: dict[str, int] = {}
    for gpu in gpus:
        if len(held) == count:
            break
        path = Path(tempfile.gettempdir()) / f"unlearn-{_namespace()}-gpu-{gpu.replace('/', '_')}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held[gpu] = descriptor
        except BlockingIOError:
            os.close(descriptor)
    return held


def _namespace() -> str:
    """Return within what a GPU's number means one GPU: a SLURM job, or else a machine's user.

    SLURM counts the GPUs of every job from 0 and gives none to two jobs: they must not wait for each other, be they on
    one node or on two that share a temporary folder. Another user's file could not be opened.
    """
    return "-".join(filter(None, (str(os.getuid()), os.environ.get("SLURM_JOB_ID"))))


def _release(held: dict[str, int]) -> None:
    for descriptor in held.values():
        os.close(descriptor)
    held.clear()

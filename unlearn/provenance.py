"""What a result was made with and from: software and hardware, and the runs that led to a checkpoint.

A lineage is a list of links, the newest checkpoint first and the pretrained model last. A link is {"path",
"fingerprint", "run"}: where the checkpoint lay, the hash of its content (bases included), and what its run wrote of
itself when it began, null for what is no run of this suite. Runs hand it on, since a folder may be replaced later.
"""

import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unlearn import __version__, fingerprint
from unlearn.config.loading import PROJECT
from unlearn.config.schema import ModelFamily
from unlearn.models.folders import read_json

FILE = "provenance.json"
"""Of a run's folder: `environment`, the keys "run" and "lineage" (of what it started from), and facts of the engine."""
PACKAGES = ("torch", "transformers", "accelerate", "peft", "datasets")


def lineage(folders: Sequence[str], content: str) -> list[dict[str, Any]]:
    """Return the links of a checkpoint.

    folders  its own and those of its bases, newest first; the last may be a Hub id
    content  their fingerprint
    Raises UserError for a provenance.json that is not readable.
    """
    here, *below = folders
    file = Path(here) / FILE
    told = read_json(file) if file.is_file() else {}
    link = {"path": here, "fingerprint": content, "run": told.get("run")}
    if "run" in told:
        return [link, *told["lineage"]]
    # Of an adapter that another tool trained, the base is known at least.
    return [link, *(lineage(below, fingerprint.of_model(below)) if below else [])]


def of_family(family: ModelFamily) -> dict[str, str]:
    """Return a model family's name, and the fingerprint of what else its file says, the pretrained model's place aside.

    Names and places of a model do not count: its content does.
    """
    settings = {key: value for key, value in asdict(family).items() if key not in ("name", "hub_id")}
    return {"name": family.name, "fingerprint": fingerprint.of_json(settings)}


def software() -> dict[str, str | None]:
    """Return the version and the commit of this package."""
    return {"version": __version__, "commit": _commit()}


def environment() -> dict[str, Any]:
    """Return commit, versions and hardware of this process."""
    import torch

    return {
        **software(),
        "packages": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
    }


def _commit() -> str | None:
    """Return the commit of the project, with "+" where the tree differs from it; None outside a checkout."""
    git = ["git", "-C", str(PROJECT)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed.stdout.strip() else "")

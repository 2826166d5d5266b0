"""Fingerprints: whether two results, or two halves of one, come from the same model, data and settings."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LENGTH = 16
"""Hexadecimal digits kept, 64 bits: enough to tell apart, short enough to print in a message."""

MODEL_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "chat_template.*",
)
"""What decides a model's answers. Logs, trainer state and generation_config.json (which evaluation replaces) do not."""
ON_A_BASE = ("adapter_config.json", "router.json")
"""Files of checkpoints that stand on another."""


def of_json(value: Any) -> str:
    """Return the fingerprint of plain values; enums and paths count as their text."""
    text = json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def of_bytes(content: bytes) -> str:
    """Return the fingerprint of a file's content."""
    return hashlib.sha256(content).hexdigest()[:LENGTH]


def of_model(folders: Sequence[str]) -> str:
    """Return the fingerprint of a model by content: its folder, then those of its bases; of a Hub id, the id.

    Every byte is read (14 GB: half a minute, and then the files are in memory for the load that follows).
    """
    return of_json([_of_folder(Path(f)) if Path(f).is_dir() else f for f in folders])


def of_place(path: str) -> str:
    """Return the fingerprint of a file, or of all files below a folder, by content and name; of a Hub id, the id.

    Hidden files and those that the library `datasets` keeps beside a data set's own do not count.
    """
    place = Path(path)
    if not place.exists():
        return path
    files = [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.is_file())
    names = {file: file.relative_to(place) for file in files}
    own = {file: any(part.startswith(".") for part in name.parts) for file, name in names.items()}
    counted = [file for file in files if not own[file] and not file.match("cache-*.arrow")]
    return of_json([[names[file].as_posix(), _of_file(file)] for file in counted])


def _of_folder(folder: Path) -> list[Any]:
    files = sorted({file for pattern in MODEL_FILES for file in folder.glob(pattern)})
    parts: list[Any] = [[file.name, _of_file(file)] for file in files]
    for name in ON_A_BASE:
        file = folder / name
        if file.is_file():
            # Where the base lies does not count: it is a folder of its own here, and an experiment may be moved.
            parts.append({**json.loads(file.read_text()), "base_model_name_or_path": None})
    return parts


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Fingerprints: whether two results, or two halves of one, come from the same model, items and settings."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unlearn.evaluation.items import Item
from unlearn.evaluation.tasks import Task

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


def of_json(value: Any) -> str:
    """Return the fingerprint of plain values; enums and paths count as their text."""
    text = json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def of_task(task: Task, items: Sequence[Item]) -> str:
    """Return the fingerprint of what a task asks: equal for every model that was asked the same items."""
    return of_json([task.name, task.version, task.choice, task.max_new_tokens, [item.digest() for item in items]])


def of_model(path: str) -> str:
    """Return the fingerprint of a model folder's content, and of the base it adapts; of a Hub id, the id's.

    Every byte is read (14 GB: half a minute, and then the files are in memory for the load that follows).
    """
    folder = Path(path)
    if not folder.is_dir():
        return of_json(path)
    files = sorted({file for pattern in MODEL_FILES for file in folder.glob(pattern)})
    parts: list[Any] = [[file.name, _of_file(file)] for file in files]
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        settings = json.loads(adapter.read_text())
        base = settings.pop("base_model_name_or_path", None)
        # The base counts by its content: an experiment folder may be moved.
        parts.append([settings, of_model(base) if base else None])
    return of_json(parts)


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""What a checkpoint folder must hold, checked before any weight is read.

A model is a chain: a root (a folder of full weights, or a Hub id), the adapters that were trained one on another, and
possibly a router before all of them, which changes prompts and no weight.
"""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unlearn.errors import UserError

CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"
WEIGHTS, ADAPTER_WEIGHTS = "model.safetensors", "adapter_model.safetensors"
INDEX = "model.safetensors.index.json"
ROUTER, ROUTER_WEIGHTS = "router.json", "router.safetensors"
BASE_KEY = "base_model_name_or_path"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Chain:
    """A checkpoint resolved down to its root.

    root      folder of full weights, or Hub id
    adapters  folders in the order in which they are merged
    router    folder of the router, None where there is none
    """

    root: str
    adapters: tuple[Path, ...] = ()
    router: Path | None = None

    def newest_first(self) -> list[str]:
        """Return the checkpoint's own folder first and the root last."""
        router = [] if self.router is None else [str(self.router)]
        return [*router, *map(str, reversed(self.adapters)), self.root]


def resolve_chain(path: str) -> Chain:
    """Return the root and the adapters of a checkpoint folder; nothing but JSON and safetensors headers is read.

    Raises UserError for a folder that is absent, holds no checkpoint or an incomplete one, and for an absent base.
    """
    folder = Path(path)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UserError(
            f'model_path "{path}" {what}; give the folder of a finished run, or null for the pretrained model.'
        )
    return _resolve(folder, ())


def resolve_pretrained(hub_id: str) -> Chain:
    """Return the chain of a family's pretrained model: a folder (checked) or a Hub id."""
    if Path(hub_id).is_dir():
        return _resolve(Path(hub_id), ())
    if not HUB_ID.fullmatch(hub_id):
        raise UserError(
            f'The pretrained model "{hub_id}" does not exist; set model_family.hub_id to a Hub id or a folder.'
        )
    return Chain(hub_id)


def _resolve(folder: Path, seen: tuple[Path, ...]) -> Chain:
    if folder.resolve() in seen:
        raise UserError(f'The checkpoint "{folder}" has itself as its base; correct {BASE_KEY} in its JSON file.')
    seen = (*seen, folder.resolve())
    if (folder / ROUTER).exists():
        check_safetensors(folder, ROUTER_WEIGHTS)
        return replace(_below(folder, ROUTER, seen), router=folder)
    # An adapter folder may hold a config.json too (some tools write one); the adapter is what was trained there.
    if (folder / ADAPTER_CONFIG).exists():
        check_safetensors(folder, ADAPTER_WEIGHTS)
        below = _below(folder, ADAPTER_CONFIG, seen)
        return replace(below, adapters=(*below.adapters, folder))
    if not (folder / CONFIG).exists():
        raise UserError(
            f'"{folder}" is no checkpoint: it has neither {CONFIG} (full weights) nor {ADAPTER_CONFIG} (an adapter); '
            f"give the folder of a finished run."
        )
    read_json(folder / CONFIG)
    _check_full(folder)
    return Chain(str(folder))


def _below(folder: Path, name: str, seen: tuple[Path, ...]) -> Chain:
    """Return the chain of what the JSON file `name` of a folder says that it stands on."""
    base = _base(folder, name)
    return _resolve(base, seen) if isinstance(base, Path) else Chain(base)


def _base(folder: Path, name: str) -> Path | str:
    """Return the base: a folder (absolute, relative to its checkpoint or to the working directory) or a Hub id."""
    file = folder / name
    base = read_json(file).get(BASE_KEY)
    if not base:
        raise UserError(f"{file} names no base model; set {BASE_KEY} to the folder or Hub id it was trained on.")
    for candidate in (folder / base, Path(base)):
        if candidate.is_dir():
            return candidate
    if Path(base).is_absolute() or not HUB_ID.fullmatch(base):
        raise UserError(
            f'The checkpoint "{folder}" stands on "{base}", which does not exist; restore that folder, or set '
            f"{BASE_KEY} in {file} to where it is now."
        )
    return base


def _check_full(folder: Path) -> None:
    if (folder / WEIGHTS).exists():
        check_safetensors(folder, WEIGHTS)
        return
    if not (folder / INDEX).exists():
        raise UserError(f'"{folder}" has no weights: neither {WEIGHTS} nor {INDEX}; restore them or run it again.')
    for shard in sorted(set(read_json(folder / INDEX).get("weight_map", {}).values())):
        check_safetensors(folder, shard)


def check_safetensors(folder: Path, name: str) -> None:
    """Raise UserError where a weight file is absent or shorter than its header says."""
    from safetensors import SafetensorError, safe_open

    file = folder / name
    if not file.exists():
        raise UserError(f'The checkpoint "{folder}" is incomplete: {name} is missing; restore it or run it again.')
    try:
        with safe_open(file, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise UserError(f'"{file}" is damaged or cut short; restore it or run it again.') from error


def read_json(file: Path) -> dict[str, Any]:
    """Return a JSON file's object. Raises UserError where it does not parse."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f'"{file}" is not readable JSON; restore it or run it again.') from error
    if not isinstance(content, dict):
        raise UserError(f'"{file}" holds no JSON object; restore it or run it again.')
    return content

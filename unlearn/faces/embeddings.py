"""Embeddings of all pictures by one model on disk, and of all models as one tensor."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unlearn.config.faces import FaceModel
from unlearn.errors import UserError
from unlearn.faces.album import Album
from unlearn.files import write_bytes
from unlearn.fingerprint import of_json, of_model

if TYPE_CHECKING:
    from torch import Tensor

FILE = Path("eval_results/embeddings.safetensors")
DONE = "done.json"


def mark(folder: Path, album: Album) -> str:
    """Return the fingerprint of the weights in `folder` and of the pictures: what embeddings are of."""
    return of_json([of_model([str(folder)]), album.fingerprint])


def embedded(folder: Path, album: Album) -> bool:
    """Tell whether `folder` holds the embeddings of these pictures by its present weights.

    Raises UserError for a folder without a network that was trained to its end.
    """
    from safetensors import safe_open

    if not (folder / DONE).is_file():
        raise UserError(f'"{folder}" holds no network that was trained to its end; train it, or correct model_path.')
    if not (folder / FILE).is_file():
        return False
    with safe_open(folder / FILE, framework="numpy") as file:
        return (file.metadata() or {}).get("of") == mark(folder, album)


def write_embeddings(folder: Path, family: FaceModel, album: Album, pictures: "Tensor", batch: int) -> None:
    """Embed all N pictures by the network in `folder`, in eval mode: [N, d] float32, the file whole or not there."""
    import torch
    from safetensors.torch import save

    from unlearn.faces.network import build, load

    net = build(family, len(json.loads((folder / "people.json").read_text())), pictures, 0)
    load(net, folder)
    net.to(pictures.device).eval()
    rows = torch.arange(len(pictures), device=pictures.device)
    with torch.no_grad():
        parts = [net(part, torch.zeros_like(part, dtype=torch.bool)).embeddings for part in rows.split(batch)]
    (folder / FILE).parent.mkdir(exist_ok=True)
    content = {"embeddings": torch.cat(parts).float().cpu()}
    write_bytes(folder / FILE, save(content, {"of": mark(folder, album), "album": album.fingerprint}))


def read_embeddings(folders: Sequence[Path], album: Album) -> np.ndarray:
    """Return [models, N, d] float32. Raises UserError for a model whose embeddings are absent or of other pictures."""
    from safetensors import safe_open

    found = []
    for folder in folders:
        if not embedded(folder, album):
            raise UserError(f'"{folder}" lacks the embeddings of these pictures; run cv/eval.py model_path=... first.')
        with safe_open(folder / FILE, framework="numpy") as file:
            found.append(file.get_tensor("embeddings"))
    return np.stack(found)

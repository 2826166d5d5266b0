"""Write a checkpoint that `model_path` loads: an adapter, merged weights or full weights, with the processor's files.

Everything is written to a temporary folder beside the target and moved file by file, the config last: a folder without
config is no checkpoint, so a broken run leaves none that looks whole. Other files of the run's folder stay.
"""

import copy
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from unlearn.models.components import tied_names
from unlearn.models.encoder import Encoder
from unlearn.models.folders import ADAPTER_CONFIG, ADAPTER_WEIGHTS, CONFIG
from unlearn.models.loading import PROCESSOR_FILES

if TYPE_CHECKING:
    from peft import PeftModel

MARKERS = (CONFIG, ADAPTER_CONFIG)
"""The files that make a folder a checkpoint: removed first and written last."""
STALE = ("model*.safetensors", "model.safetensors.index.json", "adapter_model.safetensors")
SHARD_SIZE = "5GB"


def save_checkpoint(
    model: nn.Module, encoder: Encoder, folder: Path, base: str, merge: bool, shard_size: str = SHARD_SIZE
) -> None:
    """Write `model` (unwrapped, all its weights in memory) to `folder`; it is left as it is and may train on.

    base   folder or Hub id that an adapter stands on; a folder is written down as an absolute path
    merge  write base + adapter as full weights in `family.dtype`, instead of the adapter alone

    Full weights are written in `family.dtype` too: what trains is kept in float32, and every reader would round it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as temporary:
        if hasattr(model, "peft_config") and not merge:
            _write_adapter(model, Path(temporary), base)
        else:
            _write_full(model, encoder, Path(temporary), shard_size)
        _write_processor(encoder, Path(temporary))
        _move(Path(temporary), folder)


def _write_adapter(model: "PeftModel", folder: Path, base: str) -> None:
    import peft
    from safetensors.torch import save_file

    # peft's own save_pretrained would also import deepspeed and ask the Hub whether the vocabulary grew.
    state = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    save_file(state, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    config = copy.copy(model.peft_config["default"])
    config.base_model_name_or_path = str(Path(base).resolve()) if Path(base).is_dir() else base
    config.inference_mode = True
    # A set's order differs from process to process; equal runs write equal files.
    config.target_modules = sorted(config.target_modules)
    config.save_pretrained(str(folder))


def _write_full(model: nn.Module, encoder: Encoder, folder: Path, shard_size: str) -> None:
    plain = model.get_base_model() if hasattr(model, "peft_config") else model
    dtype = getattr(torch, encoder.family.dtype.name)
    plain.save_pretrained(folder, state_dict=full_state(model, dtype), max_shard_size=shard_size)


def full_state(model: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return all weights by the names of the plain model, adapters added, in `dtype`, shared tensors once."""
    plain = model.get_base_model() if hasattr(model, "peft_config") else model
    deltas = {f"{name}.weight": module for name, module in plain.named_modules() if hasattr(module, "get_delta_weight")}
    second = tied_names(plain)
    state = {}
    for name, tensor in plain.state_dict().items():
        if ".lora_" in name or name in second:
            continue
        name = name.replace(".base_layer.", ".")
        if name in deltas:
            # W + alpha / r * B A is taken in the adapter's precision and rounded once, as `load_model` does.
            tensor = tensor + deltas[name].get_delta_weight("default")
        state[name] = tensor.detach().to(dtype) if tensor.is_floating_point() else tensor
    return state


def _write_processor(encoder: Encoder, folder: Path) -> None:
    """Copy the source's files: a processor that is written anew may lose parts that this suite does not use (video)."""
    if encoder.source is None:
        encoder.files.save_pretrained(folder)
        return
    for name in PROCESSOR_FILES:
        file = Path(encoder.source) / name
        if file.exists():
            shutil.copyfile(file, folder / name)


def _move(temporary: Path, folder: Path) -> None:
    for marker in MARKERS:
        (folder / marker).unlink(missing_ok=True)
    for pattern in STALE:
        for file in folder.glob(pattern):
            file.unlink()
    for file in sorted(temporary.iterdir(), key=lambda file: file.name in MARKERS):
        file.replace(folder / file.name)

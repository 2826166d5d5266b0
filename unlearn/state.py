"""What a run needs to continue bit for bit: trained weights, optimiser, schedule, random generators, step.

A LoRA run does not write its frozen base again (but FSDP does). Only this folder holds Accelerate's own files.
"""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from unlearn.cost import Cost
from unlearn.errors import UserError
from unlearn.processes import engine_of

STATE = "state"
WEIGHTS = "trained.safetensors"
POSITION = "position.json"


@dataclass(frozen=True)
class Position:
    """How far a run is.

    step         optimiser steps done
    cost         what they cost
    multipliers  those of the method, after them
    """

    step: int = 0
    cost: Cost = field(default_factory=Cost)
    multipliers: dict[str, float] = field(default_factory=dict)


def save(accelerator: Accelerator, model: nn.Module, run: Path, position: Position) -> None:
    """Write the state of `run` at `position`; the last state stays until the new one is whole."""
    from safetensors.torch import save_file

    fresh, kept, old = (run / f"{STATE}{suffix}" for suffix in (".new", "", ".old"))
    if accelerator.is_main_process:
        shutil.rmtree(fresh, ignore_errors=True)
    accelerator.wait_for_everyone()
    hook = accelerator.register_save_state_pre_hook(_leave_weights_out)
    # What is said of frozen weights reaches DeepSpeed alone.
    accelerator.save_state(str(fresh), safe_serialization=True, exclude_frozen_parameters=True)
    hook.remove()
    if accelerator.is_main_process:
        if not engine_of(accelerator.state).keeps_weights:
            save_file({name: p.detach().cpu().contiguous() for name, p in trained(model)}, fresh / WEIGHTS)
        (fresh / POSITION).write_text(json.dumps({**asdict(position), **_made_by(accelerator.state)}))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        shutil.rmtree(old, ignore_errors=True)
        if kept.exists():
            kept.rename(old)
        fresh.rename(kept)
        shutil.rmtree(old, ignore_errors=True)
    accelerator.wait_for_everyone()


def restore(accelerator: Accelerator, model: nn.Module, run: Path) -> Position | None:
    """Load the state of `run`, if there is one, into everything that was prepared; return its position."""
    from safetensors.torch import load_file

    folder = existing(run)
    if folder is None:
        return None
    hook = accelerator.register_load_state_pre_hook(_leave_models_out)
    accelerator.load_state(str(folder), load_module_strict=False)
    hook.remove()
    if not engine_of(accelerator.state).keeps_weights:
        saved = load_file(folder / WEIGHTS)
        with torch.no_grad():
            for name, parameter in trained(model):
                parameter.copy_(saved[name])
    found = json.loads((folder / POSITION).read_text())
    return Position(found["step"], Cost(**found["cost"]), found["multipliers"])


def check(state: AcceleratorState, run: Path) -> None:
    """Raise UserError where `run` has a state of another engine or number of processes: it cannot continue then."""
    folder = existing(run)
    if folder is None:
        return
    made, now = json.loads((folder / POSITION).read_text()), _made_by(state)
    if {key: made.get(key) for key in now} != now:
        raise UserError(
            f"{folder} is the state of a run with {made.get('processes')} processes under {made.get('engine')}, not of "
            f"{now['processes']} under {now['engine']}; launch as before, or remove that folder to begin anew."
        )


def _made_by(state: AcceleratorState) -> dict[str, Any]:
    return {"engine": engine_of(state).name, "processes": state.num_processes}


def existing(run: Path) -> Path | None:
    """Return the folder with a whole state (the older one if the last was cut off between two renames), or None."""
    folders = (run / STATE, run / f"{STATE}.old")
    return next((folder for folder in folders if (folder / POSITION).exists()), None)


def remove(run: Path) -> None:
    """Delete the state of a run that ended."""
    for suffix in ("", ".new", ".old"):
        shutil.rmtree(run / f"{STATE}{suffix}", ignore_errors=True)


def trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Return the trained parameters of the unwrapped model by name."""
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def _leave_weights_out(_models: list[nn.Module], weights: list[Any], _folder: str) -> None:
    weights.clear()


def _leave_models_out(models: list[nn.Module], _folder: str) -> None:
    models.clear()

"""The processes of one launch, and the engine that divides a model among them."""

import os
from enum import Enum
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, parse_flag_from_env
from torch import Tensor

from unlearn.errors import UserError


class Engine(Enum):
    """What becomes of a model that is prepared for training; one file of config/accelerate each."""

    single = "one process"
    ddp = "DDP"
    fsdp2 = "FSDP 2"
    zero2 = "DeepSpeed ZeRO-2"
    zero3 = "DeepSpeed ZeRO-3"

    @property
    def shards(self) -> bool:
        """Tell whether each process holds only a part of the weights, so that all must run the same layers."""
        return self in (Engine.fsdp2, Engine.zero3)

    @property
    def keeps_weights(self) -> bool:
        """Tell whether the engine writes the weights into a state itself."""
        return self.shards or self.is_deepspeed

    @property
    def is_deepspeed(self) -> bool:
        """Tell whether DeepSpeed takes the optimiser steps."""
        return self in (Engine.zero2, Engine.zero3)


ZERO = {2: Engine.zero2, 3: Engine.zero3}
PLAIN = {
    DistributedType.NO: Engine.single,
    DistributedType.MULTI_GPU: Engine.ddp,
    DistributedType.MULTI_CPU: Engine.ddp,
}
ASKED = {
    "ACCELERATE_USE_DEEPSPEED": (DistributedType.DEEPSPEED, "DeepSpeed", "unset ACCELERATE_USE_CPU"),
    "ACCELERATE_USE_FSDP": (
        DistributedType.FSDP,
        "FSDP",
        "use the GPUs, or launch with config/accelerate/zero3.yaml, which runs on CPUs too",
    ),
}
"""What a launcher may have asked for by its environment variable, and the way out where it did not come about."""


def group_options() -> dict[str, Any]:
    """Return the arguments with which the processes of this launch find each other (of accelerate.PartialState).

    DeepSpeed is not told by Accelerate that without a CUDA device it has to speak gloo; each process would take itself
    for the only one.
    """
    deepspeed = parse_flag_from_env("ACCELERATE_USE_DEEPSPEED") and "LOCAL_RANK" in os.environ
    if not deepspeed or torch.cuda.is_available():
        return {}
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    from deepspeed import ops

    # Its shared-memory reduction is compiled at the first start (a minute, and a compiler is needed); gloo has its own.
    ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return {"backend": "gloo"}


def divided_by() -> str | None:
    """Return the name of the engine that the launcher asks for, None where each process has the whole model."""
    asked = (name for variable, (_, name, _) in ASKED.items() if parse_flag_from_env(variable))
    return next(asked, None)


def process_state() -> PartialState:
    """Return the rank and number of this launch's processes, for work that prepares no model.

    Accelerate reads ACCELERATE_USE_CPU in `Accelerator` alone; without it each process on a machine without CUDA would
    take itself for the only one. Where an `Accelerator` exists already, its state is returned.
    Raises UserError where the processes did not find each other all the same.
    """
    state = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"), **group_options())
    _check_together(state)
    return state


def engine_of(state: AcceleratorState) -> Engine:
    """Return the engine of an `Accelerator`'s state. Raises UserError where it is not what the launcher asked for."""
    for variable, (kind, name, way_out) in ASKED.items():
        if parse_flag_from_env(variable) and state.distributed_type is not kind:
            raise UserError(f"The launcher asks for {name}, which does not run on CPUs in this way; {way_out}.")
    _check_together(state)
    if state.distributed_type is DistributedType.DEEPSPEED:
        return _zero(state.deepspeed_plugin)
    if state.distributed_type is DistributedType.FSDP:
        if state.fsdp_plugin.fsdp_version != 2:
            raise UserError("The launcher asks for FSDP 1; set fsdp_version: 2, as in config/accelerate/fsdp2.yaml.")
        return Engine.fsdp2
    if state.distributed_type not in PLAIN:
        allowed = ", ".join(engine.value for engine in Engine)
        raise UserError(f"The launcher asks for {state.distributed_type.value}; allowed are {allowed}.")
    return PLAIN[state.distributed_type]


def sum_over(accelerator: Accelerator, sums: Tensor) -> Tensor:
    """Return the sums of all processes added up, in float64 where the device has it (Apple's GPUs do not)."""
    device = accelerator.device
    exact = torch.float32 if device.type == "mps" else torch.float64
    return accelerator.reduce(sums.to(device, exact), reduction="sum")


OWN = ("optimizer", "scheduler")
"""Sections of a DeepSpeed config file that the keys of the run decide."""


def _zero(plugin: Any) -> Engine:
    config = plugin.deepspeed_config
    given = [key for key in OWN if key in config]
    given += [key for key in ("bf16", "fp16") if config.get(key, {}).get("enabled") is True]
    if given:
        raise UserError(
            f"The DeepSpeed config sets {', '.join(given)}, which is decided by the keys optimizer, lr_scheduler and "
            f"model_family.dtype; leave it out."
        )
    if plugin.zero3_init_flag:
        raise UserError(
            "The launcher sets zero3_init_flag: true, but adapters cannot be merged into divided weights; set it to "
            "false."
        )
    if plugin.zero_stage not in ZERO:
        raise UserError(f"The launcher asks for ZeRO stage {plugin.zero_stage}; allowed are 2 and 3 (or plain DDP).")
    return ZERO[plugin.zero_stage]


def _check_together(state: PartialState | AcceleratorState) -> None:
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched != state.num_processes:
        raise UserError(
            f"{launched} processes were launched, but without CUDA devices each takes itself for the only one; "
            f"start them with ACCELERATE_USE_CPU=true and config/accelerate/ddp.yaml, or with zero2.yaml or zero3.yaml."
        )

"""What stands around the training loop: processes, precision, optimisers, and what a run is made from."""

import logging

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, parse_flag_from_env
from torch import nn

from unlearn import state
from unlearn.config.schema import Component, DType, Optimizer, Tracker
from unlearn.config.scripts import Optimisation, Training
from unlearn.data.samples import Sample
from unlearn.errors import UserError
from unlearn.files import write_json
from unlearn.fingerprint import of_json
from unlearn.limits import check_limits
from unlearn.methods.base import Method
from unlearn.models.components import manifest
from unlearn.processes import engine_of, group_options
from unlearn.run import Run, clear, described
from unlearn.sharding import configure

log = logging.getLogger(__name__)


def _adamw(parameters: list[nn.Parameter], cfg: Optimisation) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=cfg.lr, weight_decay=cfg.weight_decay)


def _adamw_8bit(parameters: list[nn.Parameter], cfg: Optimisation) -> torch.optim.Optimizer:
    from bitsandbytes.optim import AdamW8bit

    return AdamW8bit(parameters, lr=cfg.lr, weight_decay=cfg.weight_decay)


def _sgd(parameters: list[nn.Parameter], cfg: Optimisation) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=cfg.lr, momentum=cfg.momentum, weight_decay=cfg.weight_decay)


OPTIMIZERS = {Optimizer.adamw: _adamw, Optimizer.adamw_8bit: _adamw_8bit, Optimizer.sgd: _sgd}


def start_accelerator(run: Run, cfg: Training, method: Method) -> Accelerator:
    """Return the Accelerator of a run: bf16 autocast where frozen weights are bfloat16, trackers as asked.

    Raises UserError where what was launched does not run here, or cannot give what the run demands.
    """
    trackers = [] if cfg.tracker is Tracker.none else [cfg.tracker.value]
    bf16 = cfg.model_family.dtype is DType.bfloat16
    accelerator = Accelerator(
        gradient_accumulation_steps=cfg.gradient_accumulation_steps,
        step_scheduler_with_optimizer=False,
        # DeepSpeed's bf16 mode would train bfloat16 weights: it is told to autocast (sharding.configure).
        mixed_precision="bf16" if bf16 and not parse_flag_from_env("ACCELERATE_USE_DEEPSPEED") else "no",
        log_with=trackers or None,
        project_dir=cfg.save_dir,
        # A vision tower has parts that no gradient reaches (LLaVA reads its second to last layer).
        kwargs_handlers=[
            DistributedDataParallelKwargs(
                broadcast_buffers=False, find_unused_parameters=cfg.trains(Component.vision_tower)
            ),
            InitProcessGroupKwargs(**group_options()),
        ],
    )
    engine = engine_of(accelerator.state)
    check_limits(accelerator.state, engine, cfg, method)
    if run.begun:
        state.check(accelerator.state, run.folder)
    configure(accelerator, engine, cfg)
    if cfg.optimizer is Optimizer.adamw_8bit and accelerator.device.type != "cuda":
        raise UserError("optimizer=adamw_8bit needs a CUDA device and there is none; set optimizer=adamw.")
    return accelerator


def start_run(
    run: Run, cfg: Training, accelerator: Accelerator, model: nn.Module, sets: dict[str, list[Sample]]
) -> None:
    """Write what the run is made from and log what trains, once every process has looked at the folder."""
    accelerator.wait_for_everyone()
    parts = manifest(model)
    if accelerator.is_main_process:
        clear(run)
        data = {name: {"samples": len(s), "fingerprint": of_json([a.digest() for a in s])} for name, s in sets.items()}
        facts = {
            "num_processes": accelerator.num_processes,
            "distributed_type": accelerator.distributed_type.value,
            "engine": engine_of(accelerator.state).name,
            "mixed_precision": "bf16" if cfg.model_family.dtype is DType.bfloat16 else "no",
            "run": described(cfg, data, accelerator.num_processes),
        }
        run.begin(cfg, facts)
        write_json(run.folder / "manifest.json", parts)
        for part, counts in parts["components"].items():
            trained, frozen = counts["trained"]["parameters"], counts["frozen"]["parameters"]
            log.info("%-15s %12s trained %12s frozen", part, f"{trained:,}", f"{frozen:,}")
    if cfg.tracker is not Tracker.none:
        accelerator.init_trackers("unlearn", init_kwargs={"wandb": {"dir": cfg.save_dir, "name": run.folder.name}})
    accelerator.wait_for_everyone()

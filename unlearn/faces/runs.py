"""Many small models one after the other in one process, each in a folder of its own, all pictures on the device.

Batch norm makes a batch that is divided among processes another batch, so none is: under a launch of W processes,
process r does every W-th model by itself, and the files are the same for any W and any way of dividing a range.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator

from unlearn import __version__
from unlearn.config.faces import BatchNorm, FaceStudy, FaceTraining
from unlearn.data.questions import stable_integer
from unlearn.data.samples import Sample
from unlearn.errors import UserError
from unlearn.faces.encoder import FaceEncoder
from unlearn.faces.network import WEIGHTS, FaceNet, save
from unlearn.faces.views import FaceView
from unlearn.files import write_json
from unlearn.fingerprint import of_json, of_model
from unlearn.methods.base import Method
from unlearn.reference import second_model
from unlearn.run import NOT_IDENTITY, Run, clear, plain
from unlearn.trainer import Trainer

log = logging.getLogger(__name__)

LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher tells each of several processes."""
OF_STUDY = ("splits", *NOT_IDENTITY)
"""Keys that do not change the numbers of one model."""
Config = TypeVar("Config", bound=FaceStudy)


@cache
def _place() -> tuple[int, int]:
    """Return rank and number of the launched processes, and let this one be by itself from now on."""
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    for key in LAUNCHED:
        os.environ.pop(key, None)
    return rank, world


def mine(models: Sequence[int]) -> list[int]:
    """Return those of `models` that this process does, on the device of its rank."""
    rank, world = _place()
    return list(models)[rank::world]


def device() -> torch.device:
    """Return where this process computes."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def of_model_number(cfg: Config, index: int) -> Config:
    """Return the configuration of one model: its folder, and a seed of its own."""
    seed = stable_integer("face", cfg.seed, index) % 2**31
    return replace(cfg, save_dir=str(folder_of(cfg.save_dir, index)), seed=seed)


def folder_of(root: str, index: int) -> Path:
    """Return the folder of one model."""
    return Path(root) / f"{index:03d}"


def open_model(cfg: FaceTraining, data: Sequence[str], start: Path | None) -> Run:
    """Return the run of one model. Raises UserError where its folder holds something else.

    data   fingerprints of what it trains on
    start  folder of the weights that it starts from
    """
    folder, origin = Path(cfg.save_dir), [] if start is None else [str(start)]
    if start is not None and not (start / WEIGHTS).is_file():
        raise UserError(f'"{start}" holds no network ({WEIGHTS} is missing); train it first, or correct model_path.')
    run = Run(folder, of_json([plain(cfg, OF_STUDY), list(data), of_model(origin), __version__]))
    if folder.is_dir() and any(folder.iterdir()) and not run.begun and not cfg.overwrite_dir:
        raise UserError(
            f"save_dir={folder} already holds another run or other files; set save_dir to a new folder, or replace "
            f"what is there with overwrite_dir=true."
        )
    return run


def train(
    cfg: FaceTraining,
    run: Run,
    method: Method,
    sets: dict[str, list[Sample]],
    net: FaceNet,
    encoder: FaceEncoder,
    facts: dict[str, Any],
    layers: range | None = None,
) -> None:
    """Train one model and write it; the run's folder is whole when this returns.

    facts   for the provenance
    layers  stages of the backbone that alone train; None: everything does
    Raises UserError for an empty set and NonFiniteLossError.
    """
    for name, samples in sets.items():
        if not samples:
            raise UserError(f"The set {name} of {run.folder} is empty; take another forget_split or more models.")
    clear(run)
    accelerator = Accelerator(
        gradient_accumulation_steps=cfg.gradient_accumulation_steps,
        step_scheduler_with_optimizer=False,
        mixed_precision="bf16" if torch.cuda.is_available() else "no",
    )
    run.begin(cfg, facts)
    net.to(accelerator.device).prepare_training(cfg.batch_norm is BatchNorm.eval, layers)
    reference = second_model(net, accelerator.autocast) if method.needs_reference() else None
    cost = Trainer(cfg, method, sets, net, encoder, reference, accelerator, run, net.depth, FaceView).train()
    save(net, run.folder)
    write_json(run.folder / "people.json", list(encoder.labels))
    run.end({"cost": cost})

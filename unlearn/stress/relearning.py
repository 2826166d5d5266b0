"""Whether a few steps of finetuning bring back what was forgotten.

Relearning attacks: Lynch et al. 2024, "Eight Methods to Evaluate Robust Unlearning in LLMs" (arXiv:2402.16835); Hu et
al. 2024, "Jogging the Memory of Unlearned LLMs Through Targeted Relearning Attacks" (arXiv:2406.13356). A model that
never knew the people (gold) learns of them too, so what counts is the distance to gold under the same steps.
"""

import json
import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch
from torch import nn

from unlearn.config.schema import MISSING, LoRAConfig, Scheduler, option, out_of_range
from unlearn.config.scripts import EvalConfig, FinetuneConfig
from unlearn.data.pictures import check_pictures
from unlearn.data.samples import Sample
from unlearn.data.views import forget_and_retain
from unlearn.errors import UserError
from unlearn.evaluation.stressed import Stressed
from unlearn.fingerprint import of_json
from unlearn.processes import divided_by, process_state
from unlearn.run import Run, plain
from unlearn.stress.base import Arranged, Stress
from unlearn.stress.choice import TrainedOn, choose

if TYPE_CHECKING:
    from unlearn.models.encoder import Encoder

log = logging.getLogger(__name__)

HOW = ("name", "gradient_accumulation_steps")
"""Keys that do not decide what is learned."""


@dataclass
class Relearning(Stress):
    """AdamW on the language model's weights, or on adapters that are merged afterwards, at a constant rate."""

    trained_on: TrainedOn = option(MISSING, "samples: part of each forgotten person's | people: some | retain: others")
    share: float = option(0.5, "part of each person's samples that is trained on (people: part of the people)")
    steps: int = option(10, "optimiser steps")
    lr: float = option(1e-5, "learning rate")
    batch_size: int = option(16, "samples of an optimiser step, over all processes")
    gradient_accumulation_steps: int = option(1, "micro-batches that a process divides its part of a step into")
    seed: int = option(0, "which samples are trained on, in which order")
    LoRA: LoRAConfig = option(LoRAConfig, "low-rank adapters instead of the weights themselves")

    def problems(self) -> list[str]:
        """Return every value that is out of range."""
        bounds = {"steps": 0, "batch_size": 1, "gradient_accumulation_steps": 1, "seed": 0}
        low = {key: least for key, least in bounds.items() if getattr(self, key) < least}
        found = [
            *super().problems(),
            *(out_of_range(f"stress.{key}", getattr(self, key), f"{least} or above") for key, least in low.items()),
        ]
        if not 0 < self.share < 1:
            found.append(out_of_range("stress.share", self.share, "above 0 and below 1"))
        if not self.lr > 0:
            found.append(out_of_range("stress.lr", self.lr, "above 0"))
        if self.LoRA.load_in_4bit:
            found.append("stress.LoRA.load_in_4bit is true, but the adapters are merged into weights; set it to false.")
        return found

    def arrange(self, cfg: EvalConfig) -> Arranged:
        """Return the finetuning. Raises UserError for an engine that divides weights, and a batch that is no whole."""
        engine = divided_by()
        if engine is not None:
            raise UserError(
                f"stress={self.name} trains in memory and each process evaluates the whole model, which {engine} would "
                f"divide; launch with config/accelerate/single.yaml or ddp.yaml."
            )
        training = self._training(cfg)
        data, modality = cfg.data, cfg.forget_modality
        forget, retain = forget_and_retain(data, cfg.forget_split, cfg.retain_split, modality, data.question_seed)
        chosen = choose(self.trained_on, forget, retain, self.share, self.seed)
        check_pictures((sample.uid, sample.image) for sample in chosen.samples)
        facts = {
            "name": self.name,
            **plain(self, HOW),
            "samples": len(chosen.samples),
            "data": of_json([sample.digest() for sample in chosen.samples]),
        }
        learn = partial(_relearned, training, self.steps * self.batch_size, chosen.samples)
        return Arranged(Stressed(facts, chosen.rows, chosen.people), learn)

    def _training(self, cfg: EvalConfig) -> FinetuneConfig:
        parts = process_state().num_processes * self.gradient_accumulation_steps
        if self.batch_size % parts:
            raise UserError(
                f"stress.batch_size is {self.batch_size}, which {parts} micro-batches (processes times "
                f"stress.gradient_accumulation_steps) do not divide; set it to a multiple of {parts}."
            )
        training = FinetuneConfig(
            model_family=cfg.model_family,
            data=cfg.data,
            model_path=cfg.model_path,
            lr=self.lr,
            batch_size=self.batch_size // parts,
            gradient_accumulation_steps=self.gradient_accumulation_steps,
            max_length=cfg.max_length,
            lr_scheduler=Scheduler.constant,
            seed=self.seed,
            freeze_projector=True,
            LoRA=self.LoRA,
        )
        problems = training.problems()
        if problems:
            raise UserError(f"stress={self.name}: {' '.join(problems)}")
        return training


def _relearned(
    cfg: FinetuneConfig, count: int, samples: list[Sample], model: nn.Module, encoder: "Encoder"
) -> nn.Module:
    """Return `model` after one pass over `count` draws from `samples`, in the precision that it had."""
    from unlearn.engine import start_accelerator
    from unlearn.methods.finetune import Finetune
    from unlearn.models.trainable import make_trainable
    from unlearn.trainer import Trainer

    if count == 0:
        return model
    method, sets = Finetune(samples=count), {"train": samples}
    with TemporaryDirectory(prefix="relearning-") as folder:
        run, cfg = Run(Path(folder), ""), replace(cfg, save_dir=folder)
        accelerator = start_accelerator(run, cfg, method)
        trained = make_trainable(model, cfg)
        Trainer(cfg, method, sets, trained, encoder, None, accelerator, run).train()
        if accelerator.is_main_process:
            _tell(run, len(samples))
    # Its forward would go on under autocast.
    accelerator.unwrap_model(trained, keep_fp32_wrapper=False)
    # The optimiser's states are three times the weights; the evaluation needs the room.
    accelerator.free_memory()
    return _as_loaded(trained, getattr(torch, cfg.model_family.dtype.name))


def _tell(run: Run, samples: int) -> None:
    steps = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    told = (len(steps), samples, steps[0]["loss"], steps[-1]["loss"])
    log.info("relearned in %d steps on %d samples: loss %.3f at the first, %.3f at the last", *told)


def _as_loaded(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Return the model as `load_model` would return it from a checkpoint: adapters merged, in `dtype`, in eval mode."""
    whole = model.merge_and_unload() if hasattr(model, "peft_config") else model
    for parameter in whole.parameters():
        parameter.data = parameter.data.to(dtype)
    return whole.requires_grad_(True).eval()

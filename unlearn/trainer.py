"""The training loop of finetuning and of every unlearning method, read from top to bottom.

Each loss term is its sum over the whole optimiser step (all micro-batches of all processes) divided by its count over
that step, in its own unit. So 1 x 8, 1 x (2 x 4), 2 x (4 x 1) and 2 x (2 x 2) samples give the same step.
"""

import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from torch import Tensor, nn
from tqdm import tqdm
from transformers import get_scheduler

from unlearn import state
from unlearn.config.schema import Component, DType, Optimizer, Tracker, Training
from unlearn.cost import Meter
from unlearn.data.loader import MicroBatches, loader
from unlearn.data.plan import epoch_steps, micro_batches
from unlearn.data.samples import Batch, Sample
from unlearn.errors import UserError
from unlearn.files import write_json
from unlearn.fingerprint import of_json
from unlearn.forwards import View, answer_counts, label_logits
from unlearn.methods.base import Method, Term
from unlearn.models.components import manifest
from unlearn.models.encoder import Encoder
from unlearn.reference import Reference
from unlearn.run import Run, clear

log = logging.getLogger(__name__)


class NonFiniteLossError(UserError):
    """A loss or gradient that is NaN or infinite: the run stops, the last state stays."""


@dataclass
class Trainer:
    """One run.

    model      unprepared, frozen and adapted; what trains is float32 (or float64)
    samples    of every view of `method`, and of `primary`, whose pass is an epoch
    reference  the frozen teacher, where the method needs one
    """

    cfg: Training
    method: Method
    primary: str
    samples: dict[str, list[Sample]]
    model: nn.Module
    encoder: Encoder
    reference: Reference | None
    accelerator: Accelerator
    run: Run

    def train(self) -> dict[str, Any]:
        """Run all steps that are not done yet and return the cost. Raises NonFiniteLossError."""
        steps = self._steps()
        self._prepare(len(steps))
        done = state.restore(self.accelerator, self.model, self.run.folder)
        if self.accelerator.is_main_process:
            self.run.keep_log(done)
        started = time.perf_counter()
        with Meter(self.model) as meter:
            for number, batches in enumerate(tqdm(self._batches(steps, done), **self._bar(len(steps), done)), done + 1):
                row = {"step": number, "epoch": steps[number - 1].epoch, **self._step(batches, number)}
                self._record(row)
                if self.cfg.save_state_every and number % self.cfg.save_state_every == 0 and number < len(steps):
                    state.save(self.accelerator, self.model, self.run.folder, number)
        # Not end_training(), after which a process of several could not train again (a sweep).
        for tracker in self.accelerator.trackers:
            tracker.finish()
        seconds = time.perf_counter() - started
        return {
            "wall_seconds": seconds,
            "peak_memory_bytes": meter.peak_memory(),
            "forwards": meter.forwards,
            "steps": len(steps),
            "resumed_at": done,
        }

    def _steps(self) -> list:
        cfg, sizes = self.cfg, {view: len(samples) for view, samples in self.samples.items()}
        size = cfg.batch_size * cfg.gradient_accumulation_steps * self.accelerator.num_processes
        epochs = (epoch_steps(sizes, self.primary, size, cfg.seed, epoch) for epoch in range(cfg.num_epochs))
        return [step for epoch in epochs for step in epoch]

    def _batches(self, steps: list, done: int) -> Iterator[tuple[dict[str, Batch], ...]]:
        """Yield the micro-batches of this process, step by step, from step `done` on."""
        cfg, acc = self.cfg, self.accelerator
        parts = cfg.gradient_accumulation_steps
        plan = micro_batches(
            steps[done:], list(self.method.needs()), acc.process_index, acc.num_processes, cfg.batch_size, parts
        )
        pad = cfg.trains(Component.vision_tower) or cfg.trains(Component.projector)
        data = MicroBatches(plan, self.samples, self.encoder, cfg.max_length, pad)
        yield from zip(*[iter(loader(data, cfg.num_workers))] * parts, strict=True)

    def _prepare(self, steps: int) -> None:
        cfg, acc = self.cfg, self.accelerator
        parameters = [parameter for _, parameter in state.trained(self.model)]
        optimizer = OPTIMIZERS[cfg.optimizer](parameters, cfg.lr, cfg.weight_decay)
        scheduler = get_scheduler(cfg.lr_scheduler.value, optimizer, math.ceil(cfg.warmup_ratio * steps), steps)
        self.model.train()
        # Dropout: reproducible, and another mask on every process. A restored state replaces these generators.
        set_seed(cfg.seed, device_specific=True)
        self.wrapped, self.optimizer, self.scheduler = acc.prepare(self.model, optimizer, scheduler)

    def _step(self, batches: tuple[dict[str, Batch], ...], number: int) -> dict[str, float]:
        """Take one optimiser step and return its loss terms, gradient norm and learning rate."""
        acc = self.accelerator
        batches = tuple({view: batch.to(acc.device) for view, batch in views.items()} for views in batches)
        counts = self._global_counts(batches)
        sums: dict[str, Tensor] = {}
        for part, views in enumerate(batches, 1):
            last = part == len(batches)
            acc.sync_gradients = last
            with nullcontext() if last else acc.no_sync(self.wrapped):
                loss = self._loss(views, counts, sums)
                if last:
                    terms = self._checked(sums, batches, number)
                # Accelerate divides by the accumulation and DDP averages over processes: the counts did both already.
                acc.backward(loss * acc.num_processes * acc.gradient_accumulation_steps)
        norm = self._clip(batches, number)
        rate = self.scheduler.get_last_lr()[0]
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()
        return {**terms, "grad_norm": norm, "lr": rate}

    def _loss(self, views: Mapping[str, Batch], counts: dict, sums: dict[str, Tensor]) -> Tensor:
        """Return this micro-batch's share of the step's loss; add the share of each term to `sums`."""
        asked = {
            name: View(batch, lambda b: label_logits(self.wrapped, b), self.reference) for name, batch in views.items()
        }
        total = torch.zeros((), device=self.accelerator.device)
        for position, term in enumerate(self.method.terms(asked)):
            share = normalised(term, asked[term.view], counts[term.view][term.per])
            name = f"{term.view}_{position}"
            sums[name] = sums.get(name, 0) + share.detach()
            total = total + term.weight * share
        sums["loss"] = sums.get("loss", 0) + total.detach()
        return total

    def _global_counts(self, batches: tuple[dict[str, Batch], ...]) -> dict[str, dict[str, float]]:
        """Return the number of answer tokens and sequences of each view over the optimiser step."""
        local = [[answer_counts(views[name]) for views in batches] for name in batches[0]]
        table = torch.tensor(
            [[sum(c[unit] for c in counts) for unit in ("token", "sequence")] for counts in local],
            dtype=torch.float64 if self.accelerator.device.type != "mps" else torch.float32,
            device=self.accelerator.device,
        )
        table = self.accelerator.reduce(table, reduction="sum").tolist()
        return {
            name: dict(zip(("token", "sequence"), row, strict=True))
            for name, row in zip(batches[0], table, strict=True)
        }

    def _checked(self, sums: dict[str, Tensor], batches: tuple[dict[str, Batch], ...], number: int) -> dict[str, float]:
        """Return the step's terms over all processes; stop all of them together if one is not finite."""
        total = self.accelerator.reduce(torch.stack([value.double() for value in sums.values()]), reduction="sum")
        terms = dict(zip(sums, total.tolist(), strict=True))
        bad = [name for name, value in terms.items() if not math.isfinite(value)]
        if bad:
            raise self._not_finite(number, ", ".join(bad), batches)
        return terms

    def _clip(self, batches: tuple[dict[str, Batch], ...], number: int) -> float:
        """Return the gradient norm before clipping."""
        limit = self.cfg.max_grad_norm
        norm = float(self.accelerator.clip_grad_norm_(self.wrapped.parameters(), math.inf if limit is None else limit))
        if not math.isfinite(norm):
            raise self._not_finite(number, "the gradient norm", batches)
        return norm

    def _not_finite(self, number: int, what: str, batches: tuple[dict[str, Batch], ...]) -> NonFiniteLossError:
        uids = {view: [u for views in batches for u in views[view].uids] for view in batches[0]}
        return NonFiniteLossError(
            f"Step {number}: {what} is not finite; samples of process {self.accelerator.process_index}: {uids}; "
            f"lower lr, set max_grad_norm, or look at these samples."
        )

    def _record(self, row: dict[str, float]) -> None:
        if self.accelerator.is_main_process:
            self.run.log_step(row)
        self.accelerator.log({k: v for k, v in row.items() if k != "step"}, step=int(row["step"]))

    def _bar(self, steps: int, done: int) -> dict[str, Any]:
        return {
            "total": steps,
            "initial": done,
            "desc": self.method.name,
            "unit": "step",
            "disable": not self.accelerator.is_main_process,
        }


def normalised(term: Term, view: View, count: float) -> Tensor:
    """Return the sum of a term's values, dummy rows left out, divided by the global count of its unit."""
    weights = view.weights(term.per)
    # A dummy row's value may be anything, and 0 x inf is not 0: it is replaced, not multiplied.
    return torch.where(weights > 0, term.values, torch.zeros_like(term.values)).sum() / max(count, 1.0)


def _adamw(parameters: list[nn.Parameter], lr: float, weight_decay: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)


def _adamw_8bit(parameters: list[nn.Parameter], lr: float, weight_decay: float) -> torch.optim.Optimizer:
    from bitsandbytes.optim import AdamW8bit

    return AdamW8bit(parameters, lr=lr, weight_decay=weight_decay)


OPTIMIZERS = {Optimizer.adamw: _adamw, Optimizer.adamw_8bit: _adamw_8bit}


def start_accelerator(cfg: Training) -> Accelerator:
    """Return the Accelerator of a run: bf16 autocast where frozen weights are bfloat16, trackers as asked."""
    trackers = [] if cfg.tracker is Tracker.none else [cfg.tracker.value]
    accelerator = Accelerator(
        gradient_accumulation_steps=cfg.gradient_accumulation_steps,
        step_scheduler_with_optimizer=False,
        mixed_precision="bf16" if cfg.model_family.dtype is DType.bfloat16 else "no",
        log_with=trackers or None,
        project_dir=cfg.save_dir,
        # A vision tower has parts that no gradient reaches (LLaVA reads its second to last layer).
        kwargs_handlers=[
            DistributedDataParallelKwargs(
                broadcast_buffers=False, find_unused_parameters=cfg.trains(Component.vision_tower)
            )
        ],
    )
    if cfg.optimizer is Optimizer.adamw_8bit and accelerator.device.type != "cuda":
        raise UserError("optimizer=adamw_8bit needs a CUDA device and there is none; set optimizer=adamw.")
    return accelerator


def start_run(
    run: Run, cfg: Training, accelerator: Accelerator, model: nn.Module, samples: dict[str, list[Sample]]
) -> None:
    """Write what the run is made from and log what trains, once every process has looked at the folder."""
    accelerator.wait_for_everyone()
    parts = manifest(model)
    if accelerator.is_main_process:
        clear(run)
        facts = {
            "num_processes": accelerator.num_processes,
            "distributed_type": accelerator.distributed_type.value,
            "mixed_precision": accelerator.mixed_precision,
            "data": {
                view: {"samples": len(s), "fingerprint": of_json([a.uid for a in s])} for view, s in samples.items()
            },
        }
        run.begin(cfg, facts)
        write_json(run.folder / "manifest.json", parts)
        for part, counts in parts["components"].items():
            trained, frozen = counts["trained"]["parameters"], counts["frozen"]["parameters"]
            log.info("%-15s %12s trained %12s frozen", part, f"{trained:,}", f"{frozen:,}")
    if cfg.tracker is not Tracker.none:
        accelerator.init_trackers("unlearn", init_kwargs={"wandb": {"dir": cfg.save_dir, "name": run.folder.name}})
    accelerator.wait_for_everyone()

"""The training loop of finetuning and of every unlearning method, read from top to bottom.

Each loss term is its sum over the whole optimiser step (all micro-batches of all processes) divided by its count over
that step, in its own unit. So 1 x 8, 1 x (2 x 4), 2 x (4 x 1) and 2 x (2 x 2) samples give the same step.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn
from tqdm import tqdm
from transformers import get_scheduler

from unlearn import state
from unlearn.config.scripts import Optimisation
from unlearn.cost import Cost, Meter
from unlearn.data.loader import MicroBatches, loader
from unlearn.data.plan import Step, micro_batches, pass_steps
from unlearn.data.samples import Batch, Sample
from unlearn.engine import OPTIMIZERS
from unlearn.errors import NonFiniteLossError
from unlearn.forwards import UNITS, Reference, View, answer_counts, normalised
from unlearn.masks import HardMask
from unlearn.methods.base import Facts, Method, Phase, Views
from unlearn.models.encoder import Encoder
from unlearn.models.mlps import closing_layers
from unlearn.models.trainable import extrapolate
from unlearn.penalty import L1Penalty
from unlearn.processes import engine_of, sum_over
from unlearn.run import Run
from unlearn.sharding import gather, prepare
from unlearn.survey import Survey
from unlearn.writing import Writer


@dataclass
class Trainer:
    """One run.

    sets       the samples that the method's phases pass over and that its views draw from
    model      unprepared, frozen and adapted; what trains is float32 (or float64)
    reference  the frozen teacher, where the method needs one
    depth      number of the model's layers, for a method that speaks of them
    view       what its terms are asked of
    """

    cfg: Optimisation
    method: Method
    sets: dict[str, list[Sample]]
    model: nn.Module
    encoder: Encoder
    reference: Reference | None
    accelerator: Accelerator
    run: Run
    depth: int = 0
    view: type[View] = View

    def train(self) -> dict[str, Any]:
        """Run all steps that are not done yet and return the cost. Raises NonFiniteLossError."""
        self.engine = engine_of(self.accelerator.state)
        spent = self._write()
        self.steps = self._steps()
        self._prepare()
        with Meter(self.model, *self._teacher()) as meter:
            meter.start(spent)
            self.survey = Survey(self.accelerator, self.wrapped, self.reference, self._whole, self.view)
            self.facts, self.mask = self._surveyed()
            found = state.restore(self.accelerator, self.model, self.run.folder)
            position = found or state.Position(multipliers=self.method.multipliers())
            done, self.multipliers = position.step, position.multipliers
            if done:
                meter.start(position.cost)
            if self.accelerator.is_main_process:
                self.run.keep_log(done)
            for number, batches in enumerate(tqdm(self._batches(done), **self._bar(done)), done + 1):
                self._record(number, self._step(batches, number))
                if self.cfg.save_state_every and number % self.cfg.save_state_every == 0 and number < len(self.steps):
                    position = state.Position(number, meter.cost(), self.multipliers)
                    state.save(self.accelerator, self.model, self.run.folder, position)
        if self.engine.shards:
            gather(self.accelerator, self.wrapped, self.model)
        scale = self.method.extrapolation()
        if scale is not None and self.accelerator.is_main_process:
            extrapolate(self.model, self.start, scale)
        # Not end_training(), after which a process of several could not train again (a sweep).
        for tracker in self.accelerator.trackers:
            tracker.finish()
        return {**asdict(meter.cost()), "steps": len(self.steps), "resumed_at": done}

    def _write(self) -> Cost:
        """Add the set that the start model writes for the method, if any; return what that cost."""
        wanted = self.method.written()
        if wanted is None:
            return Cost()
        writer = Writer(self.accelerator, self.model, self.reference, self.encoder, self.cfg.max_length, self.cfg.seed)
        answers, cost = writer.written(wanted, self.sets[wanted.of], self.run.folder / f"{wanted.name}.jsonl")
        self.sets = {**self.sets, wanted.name: answers}
        return cost

    def _teacher(self) -> list[nn.Module]:
        """Return the reference where it is a second model."""
        if self.reference is None:
            return []
        with self.reference(self.model) as teacher:
            return [] if teacher is self.model else [teacher]

    def _steps(self) -> list[tuple[Phase, Step]]:
        sizes = {name: len(samples) for name, samples in self.sets.items()}
        steps: list[tuple[Phase, Step]] = []
        for epoch in range(self.cfg.num_epochs):
            passes = [self._pass(phase, epoch, sizes) for phase in self.method.phases(epoch, sizes)]
            steps += chain.from_iterable(zip(*passes, strict=True) if self.method.alternates else passes)
        return steps

    def _pass(self, phase: Phase, epoch: int, sizes: dict[str, int]) -> list[tuple[Phase, Step]]:
        cfg, views = self.cfg, self._sets_of(phase.needs)
        size = cfg.batch_size * cfg.gradient_accumulation_steps * self.accelerator.num_processes
        steps = pass_steps(sizes, phase.primary, views, size, cfg.seed, epoch, phase.samples)
        return [(phase, step) for step in steps]

    def _sets_of(self, views: Iterable[str]) -> dict[str, str]:
        """Return the set of each view."""
        answers = self.method.answers()
        return {view: answers[view].of if view in answers else view for view in views}

    def _batches(self, done: int) -> Iterator[tuple[dict[str, Batch], ...]]:
        """Yield the micro-batches of this process, step by step, from step `done` on."""
        size, parts = self.cfg.batch_size, self.cfg.gradient_accumulation_steps
        yield from zip(*[iter(self._loader([step for _, step in self.steps[done:]], size, parts))] * parts, strict=True)

    def _loader(self, steps: Sequence[Step], size: int, parts: int) -> Iterable[dict[str, Batch]]:
        cfg, acc = self.cfg, self.accelerator
        plan = micro_batches(steps, acc.process_index, acc.num_processes, size, parts)
        pad = self.engine.shards or cfg.pads_pictures()
        data = MicroBatches(plan, self.sets, self.method.answers(), cfg.seed, self.encoder, cfg.max_length, pad)
        return loader(data, cfg.num_workers)

    def _prepare(self) -> None:
        cfg, acc, steps = self.cfg, self.accelerator, len(self.steps)
        parameters = [parameter for _, parameter in state.trained(self.model)]
        optimizer = OPTIMIZERS[cfg.optimizer](parameters, cfg)
        scheduler = get_scheduler(cfg.lr_scheduler.value, optimizer, math.ceil(cfg.warmup_ratio * steps), steps)
        if self.method.extrapolation() is not None and acc.is_main_process:
            self.start = [parameter.detach().cpu().clone() for parameter in parameters]
        self.model.train()
        # Dropout: reproducible, and another mask on every process. A restored state replaces these generators.
        set_seed(cfg.seed, device_specific=True)
        self.wrapped, self.optimizer, self.scheduler = prepare(acc, self.engine, self.model, optimizer, scheduler)
        self.penalty = L1Penalty(cfg, parameters) if cfg.l1_lambda > 0 else None

    def _surveyed(self) -> tuple[Facts, HardMask | None]:
        """Return what the method may know of the run, and what holds its weights; each is passes over sets."""
        survey, size, mask = self.survey, self.cfg.batch_size, self.method.mask()
        facts = Facts(self.cfg.seed, self.depth)
        self.closing = closing_layers(self.model, self.method.trained_layers(facts.depth)) if self.method.edits else []
        measured = {name: survey.mean(measure, facts, size) for name, measure in self.method.measures().items()}
        sets = self.method.activations()
        activations = {name: survey.activations(self._whole(name, size), self.closing) for name in sets}
        parameters = [parameter for _, parameter in state.trained(self.model)]
        facts = replace(facts, measured=measured, activations=activations)
        return facts, mask and survey.mask(mask, parameters)

    def _whole(self, name: str, size: int) -> Iterator[Batch]:
        """Yield this process's part of a whole set, in micro-batches of `size`."""
        sizes, together = {name: len(self.sets[name])}, size * self.accelerator.num_processes
        for views in self._loader(pass_steps(sizes, name, {name: name}, together, self.cfg.seed, 0), size, 1):
            yield views[name]

    def _step(self, batches: tuple[dict[str, Batch], ...], number: int) -> dict[str, float]:
        """Take one optimiser step and return its loss terms, multipliers, gradient norm and learning rate."""
        acc, (phase, step) = self.accelerator, self.steps[number - 1]
        if phase.edit is not None:
            return self._edit(phase, batches, number)
        batches = tuple({view: batch.to(acc.device) for view, batch in views.items()} for views in batches)
        counts = self._global_counts(batches)
        sums: dict[str, Tensor] = {}
        for part, views in enumerate(batches, 1):
            last = part == len(batches)
            acc.sync_gradients = last
            with nullcontext() if last else acc.no_sync(self.wrapped):
                loss = self._loss(phase, views, number, counts, sums)
                if last:
                    loss = loss + self._penalty(step.epoch, sums)
                    terms = self._checked(sums, batches, number)
                # Accelerate divides by the accumulation and DDP averages over processes: the counts did both already.
                acc.backward(loss * acc.num_processes * acc.gradient_accumulation_steps)
        with nullcontext() if self.mask is None or not phase.masked else self.mask.hold():
            norm = self._clip(batches, number)
            rate = self.scheduler.get_last_lr()[0]
            self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()
        used, self.multipliers = self.multipliers, self.method.updated(self.multipliers, terms, step.epoch)
        return {**terms, **used, "grad_norm": norm, "lr": rate}

    @torch.no_grad()
    def _edit(self, phase: Phase, batches: tuple[dict[str, Batch], ...], number: int) -> dict[str, float]:
        """Scale the columns of the closing layers, the same on every process, and return their mean factor."""
        seen = {name: self.survey.activations((views[name] for views in batches), self.closing) for name in batches[0]}
        gates = phase.edit(seen, self.facts)
        mean = torch.cat(list(gates)).mean().item()
        if not math.isfinite(mean):
            raise self._not_finite(number, "a factor of the weights", batches)
        for layer, gate in zip(self.closing, gates, strict=True):
            layer.weight.mul_(gate.to(layer.weight))
        return {"gate": mean}

    def _loss(
        self, phase: Phase, batches: Mapping[str, Batch], number: int, counts: dict, sums: dict[str, Tensor]
    ) -> Tensor:
        """Return this micro-batch's share of the step's loss; add the share of each term to `sums`."""
        asked = {name: self.view(batch, self.wrapped, self.reference) for name, batch in batches.items()}
        total = torch.zeros((), device=self.accelerator.device)
        for position, term in enumerate(phase.terms(Views(asked, number - 1, self.facts, self.multipliers))):
            weights = asked[term.view].weights(term.per)
            share = normalised(term.values, weights, counts[term.view][term.per])
            name = "_".join(filter(None, (phase.name, term.view, str(position))))
            sums[name] = sums.get(name, 0) + share.detach()
            total = total + term.weight * share
        sums["loss"] = sums.get("loss", 0) + total.detach()
        return total

    def _penalty(self, epoch: int, sums: dict[str, Tensor]) -> Tensor | float:
        """Return this process's share of the L1 penalty, which every process knows whole."""
        if self.penalty is None:
            return 0.0
        share = self.penalty(epoch) / self.accelerator.num_processes
        sums["l1"] = share.detach()
        sums["loss"] = sums["loss"] + share.detach()
        return share

    def _global_counts(self, batches: tuple[dict[str, Batch], ...]) -> dict[str, dict[str, float]]:
        """Return how many values of each unit count, of each view, over the optimiser step."""
        local = [[answer_counts(views[name]) for views in batches] for name in batches[0]]
        sums = [[sum(c[unit] for c in counts) for unit in UNITS] for counts in local]
        rows = sum_over(self.accelerator, torch.tensor(sums, dtype=torch.float64)).tolist()
        return {name: dict(zip(UNITS, row, strict=True)) for name, row in zip(batches[0], rows, strict=True)}

    def _checked(self, sums: dict[str, Tensor], batches: tuple[dict[str, Batch], ...], number: int) -> dict[str, float]:
        """Return the step's terms over all processes; stop all of them together if one is not finite."""
        total = sum_over(self.accelerator, torch.stack(list(sums.values())))
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

    def _record(self, number: int, values: dict[str, float]) -> None:
        phase, step = self.steps[number - 1]
        if self.accelerator.is_main_process:
            named = {"phase": phase.name} if phase.name else {}
            self.run.log_step({"step": number, "epoch": step.epoch, **named, **values})
        self.accelerator.log({"epoch": step.epoch, **values}, step=number)

    def _bar(self, done: int) -> dict[str, Any]:
        return {
            "total": len(self.steps),
            "initial": done,
            "desc": self.method.name,
            "unit": "step",
            "disable": not self.accelerator.is_main_process,
        }

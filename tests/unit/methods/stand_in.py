"""A stand-in for a model, batches for it, and the trainer's sum of the terms of a phase.

Logits are a function of one table, so that plain Python knows them too (naive.py) and gradients reach the table.
"""

from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import torch

from unlearn.data.collate import Collator
from unlearn.data.samples import IGNORE, Encoded
from unlearn.forwards import View, answer_counts
from unlearn.methods.base import Facts, Views
from unlearn.trainer import normalised

VOCABULARY = 11
DEPTH = 3
EPOCHS = 4
"""Epochs that are looked through for the phases of a method."""
LATER = 1000
"""Optimiser steps done: past every warm-up."""


class Row(NamedTuple):
    """Token ids and the length of the prompt."""

    name: str
    ids: list[int]
    prompt: int


FORGET = (Row("forget", [1, 2, 3, 4], 2), Row("forget_long", [4, 3, 5, 9, 8, 7], 3))
RETAIN = (Row("retain", [5, 6, 7, 8, 9], 3), Row("retain_short", [2, 10], 1))
SETS = {"forget": FORGET, "retain": RETAIN}
FILLER = Row("filler", [1] * 12, 11)
OTHER_ANSWERS = ([6, 8], [10], [9, 1, 7], [2, 2], [5])
"""No answer has token 0."""


def other(rows, draw=0):
    """The rows with answers that are not their own."""
    answers = [OTHER_ANSWERS[(draw + i) % len(OTHER_ANSWERS)] for i in range(len(rows))]
    return tuple(Row(f"{r.name}_{draw}", r.ids[: r.prompt] + a, r.prompt) for r, a in zip(rows, answers, strict=True))


class Mix(torch.nn.Module):
    """A decoder layer: adds the mean of all positions so far, padding left out, times the table."""

    def forward(self, hidden, attention_mask, weight):
        seen = attention_mask[..., None]
        context = (hidden * seen).cumsum(1) / seen.cumsum(1).clamp(min=1)
        return hidden + context @ weight.T


class Table(torch.nn.Module):
    """Each token's row of the table, then `DEPTH` layers; their output are the logits."""

    def __init__(self, seed, dtype=torch.float64):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = torch.nn.Parameter(0.3 * torch.randn(VOCABULARY, VOCABULARY, generator=generator, dtype=dtype))
        self.language_model = torch.nn.Module()
        self.language_model.layers = torch.nn.ModuleList(Mix() for _ in range(DEPTH))
        self.calls = 0

    def forward(self, input_ids, attention_mask, use_cache, logits_to_keep):
        self.calls += 1
        hidden = self.weight[input_ids] * attention_mask[..., None]
        for layer in self.language_model.layers:
            hidden = layer(hidden, attention_mask, self.weight)
        return type("Out", (), {"logits": hidden[logits_to_keep]})

    @contextmanager
    def frozen(self, _model):
        with torch.no_grad():
            yield self


def tables():
    """A model and a reference that is another one."""
    return Table(1), Table(2)


def uniform():
    """A model to which every token is as likely, 1 / 11."""
    return constant([1.0] * VOCABULARY)


def peaked():
    """A model to which token 0 has probability 0.5 and every other token 0.05, at every position."""
    return constant([0.5] + [0.05] * (VOCABULARY - 1))


def constant(probabilities):
    # Equal rows r of mean 0: every layer adds |r|^2 to all logits, so that they stay r up to a constant.
    table, logits = Table(0), torch.tensor(probabilities, dtype=torch.float64).log()
    table.weight.data[:] = logits - logits.mean()
    return table


def encoded(row):
    return Encoded(row.name, row.ids, [IGNORE] * row.prompt + row.ids[row.prompt :])


def batch(rows, side="right", dummies=()):
    return Collator(0, side)([encoded(r) for r in rows], [encoded(d) for d in dummies])


def nothing(_rows):
    """A micro-batch of a process that no sample is left for: a dummy row alone."""
    return batch([], dummies=[RETAIN[0]])


def phases(method):
    """The phases of the first epochs by name, those with a loss."""
    sizes = {"forget": len(FORGET), "retain": len(RETAIN), "refusals": 3}
    found = [phase for epoch in range(EPOCHS) for phase in method.phases(epoch, sizes)]
    return {phase.name: phase for phase in found if phase.edit is None}


def rows_of(method, view):
    """The rows of a view: those of its set, or with other answers."""
    answers = method.answers()
    return other(SETS[answers[view].of], answers[view].draw) if view in answers else SETS[view]


def facts(method, start):
    """What the method measures on the start model, as the trainer tells it."""
    found = Facts(seed=0, depth=DEPTH)
    measured = {}
    for name, measure in method.measures().items():
        view = View(batch(SETS[measure.view]), start, start.frozen)
        measured[name] = float(measure.values(view, found).mean())
    return replace(found, measured=measured)


def views(method, policy, reference, make=batch, phase="", step=LATER):
    """The views of a phase, from batches that `make` makes of their rows."""
    names = phases(method)[phase].needs
    asked = {name: View(make(rows_of(method, name)), policy, reference.frozen) for name in names}
    return Views(asked, step, facts(method, reference), method.multipliers())


def total(method, asked, counts=None, phase=""):
    """The trainer's sum of the terms for one process and one micro-batch."""
    counts = counts or {name: answer_counts(view.batch) for name, view in asked.items()}
    return sum(
        t.weight * normalised(t.values, asked[t.view].weights(t.per), counts[t.view][t.per])
        for t in phases(method)[phase].terms(asked)
    )


def gradient(loss, model):
    return torch.autograd.grad(loss, model.weight, retain_graph=True)[0]


def slopes(method, policy, reference, step=LATER):
    """The gradient of each term alone, weight left out, in the order of the terms."""
    asked = views(method, policy, reference, step=step)
    return [gradient(term.values.mean(), policy) for term in method.terms(asked)]


def after_a_step(method, policy, reference, step=LATER, rate=1e-3):
    """The model after a short step down the loss."""
    slope = gradient(total(method, views(method, policy, reference, step=step)), policy)
    moved = Table(1)
    moved.weight.data = policy.weight.data - rate * slope
    return moved


def both(method, make=batch, counts=None, phase="", step=LATER):
    """Loss and gradient of a phase."""
    policy, reference = tables()
    loss = total(method, views(method, policy, reference, make, phase, step), counts, phase)
    return loss.detach(), gradient(loss, policy)

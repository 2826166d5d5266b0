"""Run an evaluation: score the batches of a plan over all processes, and put one set of result files together.

The model is not prepared by Accelerate: each process scores its own batches with its own copy and writes them to its
own part file; process 0 merges. No record is gathered over the network, so nothing is padded or doubled.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from accelerate import PartialState
from accelerate.utils import gather_object
from torch import nn
from tqdm import tqdm

from unlearn.config.schema import Metrics
from unlearn.cost import Cost, Meter
from unlearn.errors import UserError
from unlearn.evaluation.parts import BatchKey, Finished
from unlearn.evaluation.plan import Plan, assigned
from unlearn.evaluation.results import write_results
from unlearn.evaluation.scorers import score_items
from unlearn.models.encoder import Encoder
from unlearn.processes import process_state

log = logging.getLogger(__name__)


def evaluate(model: nn.Module, encoder: Encoder, plan: Plan) -> dict[str, Any]:
    """Score what the plan lacks and return the manifest of `plan.out`, which then holds all result files.

    model  on the device where it is to run. Every process of the launch must call this with the same plan.

    Batches that an interrupted run of the same plan finished are not computed again. Raises UserError for an image
    that does not decode and an item longer than `max_length`.
    """
    state = process_state()
    finished = plan.finished()
    if finished is not None:
        log.info("%s already holds these results.", plan.out)
        return finished
    attempt = _begin(plan, state)
    done = plan.parts.read()
    todo = [key for key in plan.batches if key not in done]
    mine = assigned(todo, state.process_index, state.num_processes)
    try:
        _score(model, encoder, plan, mine, attempt, state)
        error = None
    except UserError as mistake:
        error = mistake
    _stop_together(error)
    if state.is_main_process:
        write_results(plan, plan.parts.read())
    state.wait_for_everyone()
    manifest = plan.finished()
    assert manifest is not None, f"{plan.out} lacks a file that was just written"
    return manifest


def _stop_together(error: UserError | None) -> None:
    """Wait for all processes, and raise in each of them the first error of any: the others would wait for ever."""
    errors = [found for found in gather_object([error]) if found is not None]
    if errors:
        raise errors[0]


def _begin(plan: Plan, state: PartialState) -> int:
    """Let process 0 tidy the part files while the others wait; return the number of this start."""
    state.wait_for_everyone()
    if state.is_main_process:
        plan.parts.tidy()
    state.wait_for_everyone()
    return max((f.attempt for f in plan.parts.read().values()), default=-1) + 1


def _score(
    model: nn.Module, encoder: Encoder, plan: Plan, keys: Sequence[BatchKey], attempt: int, state: PartialState
) -> None:
    settings = plan.settings
    tasks = {task.name: task for task in settings.tasks}
    blind, with_gradient = settings.metrics is Metrics.released, settings.with_gradient()
    with _eval_mode(model), Meter(model) as meter:
        for task, index in tqdm(keys, desc="evaluate", unit="batch", disable=not state.is_main_process):
            meter.start(Cost())
            items, new_tokens = plan.batches[task, index], tasks[task].max_new_tokens
            records = score_items(model, encoder, items, settings.max_length, new_tokens, blind, task in with_gradient)
            plan.parts.append(
                Finished(
                    fingerprint=plan.fingerprint,
                    task=task,
                    batch=index,
                    attempt=attempt,
                    rank=state.process_index,
                    seconds=meter.seconds(),
                    forwards=meter.forwards,
                    peak_memory_bytes=meter.peak_memory(),
                    records=records,
                )
            )


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)

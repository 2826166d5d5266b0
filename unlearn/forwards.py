"""One forward per (model, view): what methods and scorers ask for, at answer positions and nowhere else.

An *answer position* is a position that predicts an answer token: label t is predicted at position t - 1. Only those
rows pass through the output layer (`logits_to_keep` as a boolean mask), so the logits of a batch are [N, V] with N the
number of its answer tokens, end tokens included.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from unlearn.data.samples import IGNORE, Batch
from unlearn.models.components import decoder

Reference = Callable[[nn.Module], AbstractContextManager[nn.Module]]
"""A frozen teacher: given the model that trains (as it is wrapped), inside the context a model that runs as that one
was when unlearning began, without gradient."""


@dataclass(frozen=True)
class LabelLogits:
    """Logits at the answer positions of a batch.

    logits   [N, V] at least float32
    targets  [N] the answer token that each row predicts
    rows     [N] the row of the batch that each answer token belongs to
    """

    logits: Tensor
    targets: Tensor
    rows: Tensor


def label_logits(model: nn.Module, batch: Batch) -> LabelLogits:
    """Run `model` once on `batch` and return the logits at its answer positions."""
    ahead = _ahead(batch)
    mask = ahead != IGNORE
    logits = model(**batch.inputs, use_cache=False, logits_to_keep=mask).logits
    return LabelLogits(_wide(logits), ahead[mask], mask.nonzero()[:, 0])


def label_hidden(model: nn.Module, batch: Batch, layer: int) -> Tensor:
    """Run `model` up to decoder layer `layer` (from 0) and return its output at the answer positions, [N, d].

    The layers after it do not run, and no row passes through the output layer.
    """
    stack, kept = decoder(model), []
    whole = stack.layers
    hook = whole[layer].register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    stack.layers = whole[: layer + 1]
    try:
        # The outer forward runs, as DDP and autocast sit on it; its own output has no rows.
        mask = answer_positions(batch)
        model(**batch.inputs, use_cache=False, logits_to_keep=torch.zeros_like(mask))
    finally:
        stack.layers = whole
        hook.remove()
    output = kept[0][0] if isinstance(kept[0], tuple) else kept[0]
    return _wide(output[mask])


def position_log_probs(model: nn.Module, batch: Batch) -> Tensor:
    """Run `model` once on `batch` and return [B, S, V] log-probabilities at every position, padding included."""
    everywhere = torch.ones_like(batch.labels, dtype=torch.bool)
    logits = model(**batch.inputs, use_cache=False, logits_to_keep=everywhere).logits
    return _wide(logits).log_softmax(-1).view(*everywhere.shape, -1)


def answer_positions(batch: Batch) -> Tensor:
    """Return [B, S] where an answer token is predicted, boolean."""
    return _ahead(batch) != IGNORE


def _ahead(batch: Batch) -> Tensor:
    """[B, S] the label that each position predicts."""
    ahead = batch.labels.roll(-1, dims=1)
    ahead[:, -1] = IGNORE
    return ahead


def _wide(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


class View:
    """What a method may ask of one view of a micro-batch; each model runs at most once, whatever is asked.

    N is the number of answer tokens, B the number of sequences. All values are unreduced: the trainer sums and divides.
    """

    hidden_states: Callable[[nn.Module, Batch, int], Tensor] = staticmethod(label_hidden)
    """[N, d] from a model, its batch and a layer."""

    def __init__(self, batch: Batch, model: nn.Module, reference: Reference | None = None) -> None:
        self.batch = batch
        self._model = model
        self._reference = reference
        self._hidden: dict[tuple[bool, int], Tensor] = {}

    @cached_property
    def _rows(self) -> Tensor:
        return _answer_rows(self.batch)

    @cached_property
    def _out(self) -> LabelLogits:
        return label_logits(self._model, self.batch)

    @cached_property
    def _ref_out(self) -> LabelLogits:
        return self._of_reference(label_logits)

    @cached_property
    def _log_probs(self) -> Tensor:
        return self._out.logits.log_softmax(-1)

    @cached_property
    def _ref_log_probs(self) -> Tensor:
        return self._ref_out.logits.log_softmax(-1)

    @cached_property
    def targets(self) -> Tensor:
        """[N] the answer tokens y_t, from the batch alone."""
        ahead = _ahead(self.batch)
        return ahead[ahead != IGNORE]

    @cached_property
    def lengths(self) -> Tensor:
        """[B] |y|: answer tokens of each sequence, end token included, from the batch alone."""
        return (_ahead(self.batch) != IGNORE).sum(1)

    @cached_property
    def logits(self) -> Tensor:
        """[N, V] logits at the answer positions."""
        return self._out.logits

    @cached_property
    def ref_logits(self) -> Tensor:
        """[N, V] the same of the reference, without gradient."""
        return self._ref_out.logits

    @cached_property
    def ce_tokens(self) -> Tensor:
        """[N] -log pi(y_t | y_<t, x)."""
        return -_pick(self._log_probs, self._out.targets)

    @cached_property
    def entropy_tokens(self) -> Tensor:
        """[N] entropy of the next-token distribution, -sum_v pi(v) log pi(v), in nats."""
        return -(self._log_probs.exp() * self._log_probs).sum(-1)

    @cached_property
    def logps(self) -> Tensor:
        """[B] log pi(y | x): sum over the answer tokens of a sequence."""
        return self._per_sequence(-self.ce_tokens)

    @cached_property
    def ref_logps(self) -> Tensor:
        """[B] log pi_ref(y | x), without gradient."""
        return self._per_sequence(_pick(self._ref_log_probs, self._ref_out.targets))

    @cached_property
    def kl_tokens(self) -> Tensor:
        """[N] KL(pi_ref || pi) of the next-token distributions: the forward direction."""
        return kl_divergence(self._ref_log_probs, self._log_probs)

    @cached_property
    def reverse_kl_tokens(self) -> Tensor:
        """[N] KL(pi || pi_ref) of the next-token distributions."""
        return kl_divergence(self._log_probs, self._ref_log_probs)

    def softened_kl_tokens(self, temperature: float) -> Tensor:
        """[N] KL(pi_ref || pi) of the next-token distributions softmax(logits / temperature)."""
        ref, own = (out.logits.div(temperature).log_softmax(-1) for out in (self._ref_out, self._out))
        return kl_divergence(ref, own)

    @cached_property
    def position_log_probs(self) -> Tensor:
        """[B, S, V] log pi(v) at every position: question, picture and padding too, in a forward of its own."""
        return self._of_model(position_log_probs)

    @cached_property
    def ref_position_log_probs(self) -> Tensor:
        """[B, S, V] the same of the reference, without gradient."""
        return self._of_reference(position_log_probs)

    def hidden(self, layer: int) -> Tensor:
        """[N, d] output of decoder layer `layer` (from 0) at the answer positions; the layers after it do not run."""
        return self._hidden_of(False, layer)

    def ref_hidden(self, layer: int) -> Tensor:
        """[N, d] the same of the reference, without gradient."""
        return self._hidden_of(True, layer)

    def weights(self, per: str) -> Tensor:
        """[N] or [B] weight of each value of a unit of `UNITS`: 1.0, or 0.0 for what does not count."""
        return UNITS[per](self.batch)

    def _hidden_of(self, reference: bool, layer: int) -> Tensor:
        key = (reference, layer)
        if key not in self._hidden:
            run = self._of_reference if reference else self._of_model
            self._hidden[key] = run(self.hidden_states, layer)
        return self._hidden[key]

    def _of_model(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(self._model, self.batch, *arguments)

    def _of_reference(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self._reference is None:
            raise RuntimeError("a method asked for the reference without declaring it in `needs`")
        with self._reference(self._model) as model:
            return function(model, self.batch, *arguments)

    def _per_sequence(self, tokens: Tensor) -> Tensor:
        sums = tokens.new_zeros(len(self.batch.uids))
        return sums.index_add(0, self._rows, tokens)


NEEDS_REFERENCE = frozenset(
    {
        "ref_logits",
        "ref_logps",
        "kl_tokens",
        "reverse_kl_tokens",
        "softened_kl_tokens",
        "ref_position_log_probs",
        "ref_hidden",
        "ref_embeddings",
        "ref_mirrored_embeddings",
    }
)
"""Quantities of a `View` that run the frozen reference model."""


def kl_divergence(p: Tensor, q: Tensor) -> Tensor:
    """Return KL(p || q) over the last dimension of two log-probability tensors [..., V]."""
    return (p.exp() * (p - q)).sum(-1)


def _answer_rows(batch: Batch) -> Tensor:
    """[N] the row of the batch that each answer token belongs to; the tokens of a row stand together, in order."""
    return (_ahead(batch) != IGNORE).nonzero()[:, 0]


def _of_tokens(batch: Batch) -> Tensor:
    return batch.weights[_answer_rows(batch)]


def _of_later_tokens(batch: Batch) -> Tensor:
    rows = _answer_rows(batch)
    later = torch.zeros_like(rows, dtype=torch.bool)
    later[1:] = rows[1:] == rows[:-1]
    return batch.weights[rows] * later


UNITS: dict[str, Callable[[Batch], Tensor]] = {
    "token": _of_tokens,
    "later_token": _of_later_tokens,
    "sequence": lambda batch: batch.weights,
}
"""What a term's values may stand for, with the weight of each value, 1.0 or 0.0: answer tokens [N], the same without
the first of every answer [N], sequences [B]. What has weight 0 is in no sum and in no count."""


def answer_counts(batch: Batch) -> dict[str, float]:
    """Return how many values of each unit count (those of dummy rows do not)."""
    return {unit: float(weights(batch).sum()) for unit, weights in UNITS.items()}


def normalised(values: Tensor, weights: Tensor, count: float) -> Tensor:
    """Return the sum of values [N], those of weight 0 left out, divided by the global count of their unit."""
    # A dummy row's value may be anything, and 0 x inf is not 0: it is replaced, not multiplied.
    return torch.where(weights > 0, values, torch.zeros_like(values)).sum() / max(count, 1.0)


def _pick(log_probs: Tensor, targets: Tensor) -> Tensor:
    return log_probs.gather(-1, targets[:, None])[:, 0]

"""One forward per (model, view): what methods and scorers ask for, at answer positions and nowhere else.

An *answer position* is a position that predicts an answer token: label t is predicted at position t - 1. Only those
rows pass through the output layer (`logits_to_keep` as a boolean mask), so the logits of a batch are [N, V] with N the
number of its answer tokens, end tokens included.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from unlearn.data.samples import IGNORE, Batch


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
    ahead = batch.labels.roll(-1, dims=1)
    ahead[:, -1] = IGNORE
    mask = ahead != IGNORE
    logits = model(**batch.inputs, use_cache=False, logits_to_keep=mask).logits
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return LabelLogits(wide, ahead[mask], mask.nonzero()[:, 0])


class View:
    """What a method may ask of one view of a micro-batch; each model runs at most once, whatever is asked.

    N is the number of answer tokens, B the number of sequences. All values are unreduced: the trainer sums and divides.
    """

    def __init__(
        self,
        batch: Batch,
        policy: Callable[[Batch], LabelLogits],
        reference: Callable[[Batch], LabelLogits] | None = None,
    ) -> None:
        self.batch = batch
        self._policy = policy
        self._reference = reference

    @cached_property
    def _out(self) -> LabelLogits:
        return self._policy(self.batch)

    @cached_property
    def _log_probs(self) -> Tensor:
        return self._out.logits.log_softmax(-1)

    @cached_property
    def _ref_log_probs(self) -> Tensor:
        if self._reference is None:
            raise RuntimeError("a method asked for the reference without declaring it in `needs`")
        with torch.no_grad():
            return self._reference(self.batch).logits.log_softmax(-1)

    @cached_property
    def ce_tokens(self) -> Tensor:
        """[N] -log pi(y_t | y_<t, x)."""
        return -_pick(self._log_probs, self._out.targets)

    @cached_property
    def logps(self) -> Tensor:
        """[B] log pi(y | x): sum over the answer tokens of a sequence."""
        return self._per_sequence(-self.ce_tokens)

    @cached_property
    def ref_logps(self) -> Tensor:
        """[B] log pi_ref(y | x), without gradient."""
        return self._per_sequence(_pick(self._ref_log_probs, self._out.targets))

    @cached_property
    def kl_tokens(self) -> Tensor:
        """[N] KL(pi_ref || pi) of the next-token distributions: the forward direction."""
        return kl_divergence(self._ref_log_probs, self._log_probs)

    @cached_property
    def reverse_kl_tokens(self) -> Tensor:
        """[N] KL(pi || pi_ref) of the next-token distributions."""
        return kl_divergence(self._log_probs, self._ref_log_probs)

    def weights(self, per: str) -> Tensor:
        """[N] or [B] weight of each value: 0.0 for the values of dummy rows."""
        return self.batch.weights[self._out.rows] if per == "token" else self.batch.weights

    def _per_sequence(self, tokens: Tensor) -> Tensor:
        sums = tokens.new_zeros(len(self.batch.uids))
        return sums.index_add(0, self._out.rows, tokens)


NEEDS_REFERENCE = frozenset({"ref_logps", "kl_tokens", "reverse_kl_tokens"})
"""Quantities of a `View` that run the frozen reference model."""


def kl_divergence(p: Tensor, q: Tensor) -> Tensor:
    """Return KL(p || q) over the last dimension of two log-probability tensors [..., V]."""
    return (p.exp() * (p - q)).sum(-1)


def answer_counts(batch: Batch) -> dict[str, float]:
    """Return the number of answer tokens and of sequences that count (dummy rows do not)."""
    tokens = (batch.labels != IGNORE).sum(1)
    return {"token": float((tokens * batch.weights).sum()), "sequence": float(batch.weights.sum())}


def _pick(log_probs: Tensor, targets: Tensor) -> Tensor:
    return log_probs.gather(-1, targets[:, None])[:, 0]

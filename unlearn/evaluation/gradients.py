"""How strongly one more step on an item would move the model: little where it was trained on."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from unlearn.data.collate import Collator
from unlearn.data.samples import Encoded
from unlearn.errors import NonFiniteLossError
from unlearn.forwards import label_logits


def gradient_norms(model: nn.Module, pad_id: int, samples: Sequence[Encoded]) -> list[float]:
    """Return the Euclidean norm of the gradient of each sample's mean token loss (nats) by all parameters together.

    samples  encoded with an answer and with their picture: the vision tower's parameters count as others do

    One sample at a time, so a norm does not depend on its neighbours. A parameter's gradient is dropped as soon as its
    norm is known, which leaves the activations of one sample and the largest parameter's gradient in memory. Raises
    NonFiniteLossError with the uid where a norm is not finite. The membership attack that reads them: Wang et al. 2024
    (arXiv:2402.17012).
    """
    device = next(model.parameters()).device
    norms = []
    for sample in samples:
        with torch.enable_grad(), _parts(model) as parts:
            out = label_logits(model, Collator(pad_id)([sample]).to(device))
            functional.cross_entropy(out.logits, out.targets).backward()
        norms.append(math.hypot(*torch.stack(parts).tolist()))
        if not math.isfinite(norms[-1]):
            raise NonFiniteLossError(f"The model has no finite gradient at {sample.uid}; its weights are broken.")
    return norms


@contextmanager
def _parts(model: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the norm of every parameter's gradient, once a backward pass has summed it up, and keep no gradient.

    A parameter that is used in several places (a tied output layer) has one gradient.
    """
    parameters = [p for p in model.parameters() if p.is_floating_point()]
    before = [p.requires_grad for p in parameters]
    parts: list[Tensor] = []

    def take(parameter: Tensor) -> None:
        wide = torch.promote_types(parameter.dtype, torch.float32)
        parts.append(torch.linalg.vector_norm(parameter.grad, dtype=wide))
        parameter.grad = None

    hooks = [p.requires_grad_(True).register_post_accumulate_grad_hook(take) for p in parameters]
    try:
        yield parts
    finally:
        for parameter, hook, trained in zip(parameters, hooks, before, strict=True):
            hook.remove()
            parameter.requires_grad_(trained)

"""The frozen teacher pi_ref: the model as it was when unlearning began."""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import nn

from unlearn.forwards import Reference


def adapters_off(model: nn.Module) -> Reference:
    """Return the teacher that is `model` (a PeftModel) without its adapters: no second copy of the weights.

    Valid because adapters of earlier runs were merged when the model was loaded: what is switched off is only what
    this run trains. It runs through what `model` is wrapped in: where weights are divided among processes, nothing else
    can put them together.
    """

    @contextmanager
    def frozen(wrapped: nn.Module) -> Iterator[nn.Module]:
        training = model.training
        wrapped.eval()
        with torch.no_grad(), model.disable_adapter():
            yield wrapped
        wrapped.train(training)

    return frozen


def second_model(model: nn.Module, autocast: Callable[[], AbstractContextManager]) -> Reference:
    """Return the teacher that is a frozen copy of `model`, taken now; it is whole on every process."""
    teacher = copy.deepcopy(model).eval().requires_grad_(False)

    @contextmanager
    def frozen(_wrapped: nn.Module) -> Iterator[nn.Module]:
        with torch.no_grad(), autocast():
            yield teacher

    return frozen


def build(model: nn.Module, autocast: Callable[[], AbstractContextManager]) -> Reference:
    """Return the cheaper teacher that is exact for `model`: adapters off where it has any, else a copy."""
    return adapters_off(model) if hasattr(model, "disable_adapter") else second_model(model, autocast)

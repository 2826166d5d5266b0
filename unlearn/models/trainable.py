"""From a loaded model to one that trains: parts frozen, adapters added, what trains in float32; and back a way."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unlearn.config.schema import Component
from unlearn.config.scripts import Training
from unlearn.errors import UserError
from unlearn.models.components import decoder, freeze
from unlearn.models.lora import add_lora
from unlearn.models.mlps import closing_layers


def make_trainable(model: nn.Module, cfg: Training, layers: range | None = None) -> nn.Module:
    """Return `model` with only what `cfg` names left to train, adapters drawn from `cfg.seed`.

    layers  the decoder layers that alone train; None: no such restriction. Where `cfg` edits, it is the weights that
            close their MLPs alone that a run may change

    Without adapters the weights themselves train, as float32 masters: at a learning rate of 1e-5 about 85% of bfloat16
    weights would never move. Raises UserError where nothing is left to train.
    """
    if cfg.LoRA.r > 0:
        torch.manual_seed(cfg.seed)
        model = add_lora(model, cfg.LoRA)
    else:
        freeze(model, [part for part in Component if not cfg.trains(part)])
    if layers is not None:
        _only_layers(model, layers, cfg.edits())
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise UserError("Every part is frozen, so nothing would train; set freeze_vision_module or LoRA.")
    for parameter in trained:
        if parameter.dtype != torch.float64:
            parameter.data = parameter.data.float()
    return model


def _only_layers(model: nn.Module, layers: range, closing: bool) -> None:
    """Freeze everything but the decoder layers `layers`, or but the weights that close their MLPs."""
    stack = decoder(model).layers
    kept = {parameter for layer in layers for parameter in stack[layer].parameters()}
    if closing:
        kept = {layer.weight for layer in closing_layers(model, layers)}
    for parameter in model.parameters():
        if parameter not in kept:
            parameter.requires_grad_(False)


@torch.no_grad()
def extrapolate(model: nn.Module, start: Sequence[Tensor], scale: float) -> None:
    """Set what trains to theta_0 + scale (theta_1 - theta_0), theta_1 being the weights now.

    start  theta_0 of the trained parameters, in the model's order, on any device (adapters do not need it)

    Of adapters the merged delta alpha / r B A is scaled, by B alone: scaling A and B would scale it by scale^2, and a
    negation would change nothing.
    """
    adapted = hasattr(model, "peft_config")
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    for (name, parameter), origin in zip(trained, start, strict=True):
        if not adapted:
            origin = origin.to(parameter.device)
            parameter.copy_(origin + scale * (parameter - origin))
        elif ".lora_B." in name:
            parameter.mul_(scale)

"""From a loaded model to one that trains: parts frozen, adapters added, what trains in float32."""

import torch
from torch import nn

from unlearn.config.schema import Component, Training
from unlearn.errors import UserError
from unlearn.models.components import freeze
from unlearn.models.lora import add_lora


def make_trainable(model: nn.Module, cfg: Training) -> nn.Module:
    """Return `model` with only what `cfg` names left to train, adapters drawn from `cfg.seed`.

    Without adapters the weights themselves train, as float32 masters: at a learning rate of 1e-5 about 85% of bfloat16
    weights would never move. Raises UserError where nothing is left to train.
    """
    if cfg.LoRA.r > 0:
        torch.manual_seed(cfg.seed)
        return add_lora(model, cfg.LoRA)
    freeze(model, [part for part in Component if not cfg.trains(part)])
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise UserError("Every part is frozen, so nothing would train; set freeze_vision_module or LoRA.r.")
    for parameter in trained:
        if parameter.dtype != torch.float64:
            parameter.data = parameter.data.float()
    return model

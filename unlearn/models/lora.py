"""Low-rank adapters on chosen parts of a model (Hu et al. 2021, arXiv:2106.09685): W x + alpha / r * B A x."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import torch
from torch import nn

from unlearn.config.schema import Component, LoRAConfig
from unlearn.errors import UserError
from unlearn.models.components import component_of
from unlearn.models.quantization import quantize

if TYPE_CHECKING:
    from peft import PeftModel

ADAPTED = (Component.vision_tower, Component.projector, Component.language_model)


def add_lora(model: nn.Module, config: LoRAConfig) -> "PeftModel":
    """Return `model` with fresh adapters on every linear layer of `config.components`, and all else frozen.

    Adapters are float32 (float64 in a float64 model) whatever the precision of the base: at a learning rate of 1e-5
    most bfloat16 weights would never move. B starts at 0, so the outputs are those of the base; A is drawn from torch's
    global generator. With `config.load_in_4bit` the language model's linear layers become 4-bit first.
    Raises UserError for the output layer, a part without linear layers, and r below 1.
    """
    import peft

    if config.r < 1:
        raise UserError(f"LoRA.r is {config.r}; adapters need a rank of 1 or more.")
    options = peft.LoraConfig(
        r=config.r,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=target_modules(model, config.components),
        bias="none",
        task_type=None,
    )
    if config.load_in_4bit:
        quantize(model)
    adapted = peft.get_peft_model(model, options)
    for parameter in adapted.parameters():
        if parameter.requires_grad and parameter.dtype != torch.float64:
            parameter.data = parameter.data.float()
    _check(adapted, config.components)
    return adapted


def target_modules(model: nn.Module, parts: Collection[Component]) -> list[str]:
    """Return the full names of the linear layers of `parts`.

    Full names, since a bare "q_proj" would match the vision tower as well as the language model.
    """
    if not parts or not set(parts) <= set(ADAPTED):
        given = ", ".join(part.name for part in parts) or "nothing"
        allowed = ", ".join(part.name for part in ADAPTED)
        raise UserError(f"LoRA.components is {given}; allowed are one or more of {allowed}.")
    linear = {part: [] for part in Component}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            linear[component_of(name)].append(name)
    empty = [part.name for part in parts if not linear[part]]
    if empty:
        raise UserError(f"LoRA.components names {', '.join(empty)}, which has no linear layer; leave it out.")
    return [name for part in parts for name in linear[part]]


def _check(adapted: "PeftModel", parts: Collection[Component]) -> None:
    """The adapters must lie where they were asked for, on every part asked for, and nowhere else."""
    found = {component_of(name) for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    if found != set(parts):
        raise RuntimeError(f"adapters landed on {found}, asked for were {set(parts)}")

"""The parts of a vision-language or language model, found by the names on its module tree.

A parameter belongs to the part that the deepest known segment of its name stands for: in Qwen2-VL
`model.visual.merger.mlp.0.weight` is the projector although it lies inside the vision tower, and in older layouts
`language_model.lm_head.weight` is the output layer. A language model has no segment that says so: its layers stand
right under its root.
"""

from collections.abc import Collection
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from unlearn.config.schema import Component
from unlearn.errors import UserError

SEGMENTS: dict[str, Component] = {
    **dict.fromkeys(("vision_tower", "vision_model", "visual", "vision_encoder"), Component.vision_tower),
    **dict.fromkeys(
        (
            "multi_modal_projector",
            "mm_projector",
            "merger",
            "deepstack_merger_list",
            "connector",
            "aligner",
            "image_newline",
        ),
        Component.projector,
    ),
    **dict.fromkeys(("language_model", "text_model"), Component.language_model),
    **dict.fromkeys(("lm_head", "embed_out"), Component.lm_head),
}
"""Names that model families of transformers give to their parts."""

ROOTS = ("model", "gpt_neox")
BODY = ("embed_tokens", "embed_in", "layers", "norm", "final_layernorm", "final_layer_norm")
"""What stands right under the root of a language model without vision."""


def component_of(name: str) -> Component:
    """Return the part that a parameter's or module's dotted name belongs to (adapters belong to what they adapt).

    Raises UserError for a name without a known segment.
    """
    segments = name.split(".")
    for segment in reversed(segments):
        if segment in SEGMENTS:
            return SEGMENTS[segment]
    if any(root in ROOTS and part in BODY for root, part in pairwise(segments)):
        return Component.language_model
    raise UserError(
        f'"{name}" belongs to no known part of a model; known name segments are {", ".join(SEGMENTS)}; '
        f"add the model's own to SEGMENTS in unlearn/models/components.py."
    )


def components(model: nn.Module) -> dict[Component, list[str]]:
    """Return the parameter names of each part; a shared tensor stands once, under its first name (tied: the embedding).

    Raises UserError for a parameter of no known part.
    """
    found: dict[Component, list[str]] = {component: [] for component in Component}
    for name, _ in model.named_parameters():
        found[component_of(name)].append(name)
    return found


def freeze(model: nn.Module, parts: Collection[Component]) -> None:
    """Stop the training of every tensor of `parts`, and leave the others as they are.

    A tensor that two parts share (a tied output layer) is frozen with either of them: frozen means frozen.
    """
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if component_of(name) in parts:
            parameter.requires_grad_(False)


def manifest(model: nn.Module) -> dict[str, Any]:
    """Return what trains and what does not, ready for JSON.

    components  per part {"trained" | "frozen": {"tensors", "parameters"}}, shared tensors counted once
    trained     names of all trained tensors
    tied        second names of shared tensors, each with the first: {"lm_head.weight": "...embed_tokens.weight"}
    """
    counts = {part.name: {key: {"tensors": 0, "parameters": 0} for key in ("trained", "frozen")} for part in Component}
    for name, parameter in model.named_parameters():
        count = counts[component_of(name).name]["trained" if parameter.requires_grad else "frozen"]
        count["tensors"] += 1
        count["parameters"] += _size(parameter)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    return {"components": counts, "trained": trained, "tied": tied_names(model)}


def _size(parameter: Tensor) -> int:
    """Two 4-bit weights lie in one byte; what they stand for is counted."""
    packed = getattr(parameter, "quant_state", None)
    return parameter.numel() if packed is None else packed.shape.numel()


def tied_names(model: nn.Module) -> dict[str, str]:
    """Return the second names of shared tensors, each with the first name."""
    first: dict[Tensor, str] = {}
    tied = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if parameter in first:
            tied[name] = first[parameter]
        first.setdefault(parameter, name)
    return tied


def decoder(model: nn.Module) -> nn.Module:
    """Return the module of the language model that owns its decoder layers, as a ModuleList `layers`.

    `model` may be wrapped, by adapters or for several processes. Raises UserError where there is no such module.
    """
    for name, module in model.named_modules():
        if isinstance(getattr(module, "layers", None), nn.ModuleList) and _in_language_model(f"{name}.layers"):
            return module
    raise UserError(f"{type(model).__name__} has no decoder layers that are known; its language model needs `layers`.")


def _in_language_model(name: str) -> bool:
    try:
        return component_of(name) is Component.language_model
    except UserError:
        return False


def depth(model: nn.Module) -> int:
    """Return the number of decoder layers."""
    return len(decoder(model).layers)

"""Pictures run through the vision tower once per item, however many answers are scored under them."""

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from unlearn.data.collate import joined
from unlearn.data.samples import Encoded

if TYPE_CHECKING:
    from transformers.modeling_outputs import BaseModelOutputWithPooling


class Pictures:
    """The vision inputs of a list of items, ready to be repeated for any number of rows of an item.

    vision  one dict of tensors per item (`Encoded.vision`), empty for an item without picture

    Families whose forward takes `mm_encoder_outputs` (transformers 5.18 and later) get the tower's output, in which
    every picture was encoded once; the others get the pixels repeated.
    """

    def __init__(self, model: nn.Module, vision: Sequence[dict[str, Tensor]], device: torch.device) -> None:
        self.vision = [{key: value.to(device) for key, value in entry.items()} for entry in vision]
        pictures = [entry for entry in self.vision if entry]
        self.features: BaseModelOutputWithPooling | None = None
        if pictures and "mm_encoder_outputs" in inspect.signature(model.forward).parameters:
            # What else the tower returns (LLaVA: the states of all its layers) is not kept.
            out = model.get_image_features(**joined(pictures), return_dict=True)
            self.features = _chosen(out, list(range(len(pictures))))
        order = iter(range(len(pictures)))
        self._place = [next(order) if entry else None for entry in self.vision]

    def inputs(self, rows: Sequence[int]) -> dict[str, Any]:
        """Return the model's keyword arguments for a batch whose row r shows the picture of item rows[r]."""
        with_picture = [r for r in rows if self.vision[r]]
        if not with_picture:
            return {}
        inputs: dict[str, Any] = joined([self.vision[r] for r in with_picture])
        if self.features is not None:
            del inputs["pixel_values"]
            inputs["mm_encoder_outputs"] = {"image": _chosen(self.features, [self._place[r] for r in with_picture])}
        return inputs


def without_vision(encoded: Encoded) -> Encoded:
    """Return the encoding without its vision tensors: they join the batch through `Pictures.inputs`."""
    return replace(encoded, vision={})


def _chosen(features: "BaseModelOutputWithPooling", pictures: Sequence[int]) -> "BaseModelOutputWithPooling":
    """Return the output of the tower with the projected tokens of `pictures`, in that order."""
    tokens = features.pooler_output
    # [images, T, D] (Gemma) or one [T_i, D] per picture.
    chosen = {"pooler_output": tokens[pictures] if isinstance(tokens, Tensor) else [tokens[i] for i in pictures]}
    if "deepstack_features" in features:
        # Qwen3-VL's early decoder layers get image tokens too: for each of them one [T_i, D] per picture.
        chosen["deepstack_features"] = [[layer[i] for i in pictures] for layer in features.deepstack_features]
    return type(features)(**chosen)

"""Pictures run through the vision tower once per item, however many answers are scored under them."""

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from unlearn.data.samples import Encoded


class Pictures:
    """The vision inputs of a list of items, ready to be repeated for any number of rows of an item.

    vision  one dict of tensors per item (`Encoded.vision`), empty for an item without picture

    Families whose forward takes `mm_encoder_outputs` (transformers 5.18 and later) get the tower's output, in which
    every picture was encoded once; the others get the pixels repeated.
    """

    def __init__(self, model: nn.Module, vision: Sequence[dict[str, Tensor]], device: torch.device) -> None:
        self.vision = [{key: value.to(device) for key, value in entry.items()} for entry in vision]
        pictures = [entry for entry in self.vision if entry]
        self.features: list[Tensor | None] | None = None
        if pictures and "mm_encoder_outputs" in inspect.signature(model.forward).parameters:
            self.features = self._encode(model, pictures)

    def _encode(self, model: nn.Module, pictures: list[dict[str, Tensor]]) -> list[Tensor | None]:
        """Return the projected image tokens [T_i, D] of each item, None for an item without picture."""
        pooled = iter(model.get_image_features(**_cat(pictures), return_dict=True).pooler_output)
        return [next(pooled) if entry else None for entry in self.vision]

    def inputs(self, rows: Sequence[int]) -> dict[str, Any]:
        """Return the model's keyword arguments for a batch whose row r shows the picture of item rows[r]."""
        with_picture = [r for r in rows if self.vision[r]]
        if not with_picture:
            return {}
        inputs: dict[str, Any] = _cat([self.vision[r] for r in with_picture])
        if self.features is not None:
            from transformers.modeling_outputs import BaseModelOutputWithPooling

            del inputs["pixel_values"]
            pooled = [self.features[r] for r in with_picture]
            inputs["mm_encoder_outputs"] = {"image": BaseModelOutputWithPooling(pooler_output=pooled)}
        return inputs


def without_vision(encoded: Encoded) -> Encoded:
    """Return the encoding without its vision tensors: they join the batch through `Pictures.inputs`."""
    return replace(encoded, vision={})


def _cat(entries: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {key: torch.cat([entry[key] for entry in entries]) for key in entries[0]}

"""Encoded samples -> one padded batch. Masks come from lengths: a pad id that is also the end token blanks nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from unlearn.data.samples import IGNORE, Batch, Encoded


@dataclass(frozen=True)
class Collator:
    """Pads to the longest sample.

    pad_id  filler of input_ids (any id: padding is masked by position)
    side    where the filler goes: "right" to score and train, "left" to generate
    """

    pad_id: int
    side: Literal["right", "left"] = "right"

    def __call__(self, rows: Sequence[Encoded], dummies: Sequence[Encoded] = ()) -> Batch:
        """Return a batch of `rows`, then `dummies` with weight 0.

        input_ids, attention_mask, labels and token types are [B, S]. Vision tensors are joined along dim 0 in the order
        of the rows: pixel_values [images, C, H, W], or packed [patches, D] with image_grid_thw [images, 3], or
        [rows, crops, C, H, W] with pixel_attention_mask [rows, crops, H, W].
        """
        every = [*rows, *dummies]
        if not every:
            raise ValueError("an empty batch has no shape; give a dummy row")
        length = max(len(row.input_ids) for row in every)
        inputs = {
            "input_ids": self._padded([row.input_ids for row in every], length, self.pad_id),
            "attention_mask": self._padded([[1] * len(row.input_ids) for row in every], length, 0),
        }
        for key in dict.fromkeys(key for row in every for key in row.token_types):
            types = [row.token_types.get(key, [0] * len(row.input_ids)) for row in every]
            inputs[key] = self._padded(types, length, 0)
        labels = self._padded([row.labels for row in every], length, IGNORE)
        weights = torch.tensor([1.0] * len(rows) + [0.0] * len(dummies))
        return Batch([row.uid for row in every], {**inputs, **_vision(every)}, labels, weights)

    def _padded(self, rows: Sequence[Sequence[int]], length: int, filler: int) -> Tensor:
        """Return [B, length] int64 with every row at the side opposite to the filler."""
        out = torch.full((len(rows), length), filler, dtype=torch.long)
        for i, row in enumerate(rows):
            start = 0 if self.side == "right" else length - len(row)
            out[i, start : start + len(row)] = torch.tensor(row, dtype=torch.long)
        return out


def _vision(rows: Sequence[Encoded]) -> dict[str, Tensor]:
    """Join the vision tensors of the rows that have a picture; a batch of texts has none."""
    return joined([row.vision for row in rows if row.vision])


def joined(pictures: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Join the vision tensors of several samples along dim 0, each filled up with 0 to the largest in the other dims.

    Idefics cuts a picture into crops, [1, crops, C, H, W], as many as its shape asks for; a crop of zeros is left out
    by the model.
    """
    keys = dict.fromkeys(key for picture in pictures for key in picture)
    return {key: _filled([picture[key] for picture in pictures]) for key in keys}


def _filled(tensors: Sequence[Tensor]) -> Tensor:
    rest = [max(sizes) for sizes in zip(*(tensor.shape[1:] for tensor in tensors), strict=True)]
    out = tensors[0].new_zeros(sum(map(len, tensors)), *rest)
    start = 0
    for tensor in tensors:
        out[(slice(start, start + len(tensor)), *map(slice, tensor.shape[1:]))] = tensor
        start += len(tensor)
    return out

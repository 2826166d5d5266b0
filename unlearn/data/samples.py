"""The shapes that data takes on its way to a model: a sample (text, image bytes), its encoding, a batch."""

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

IGNORE = -100
"""Label value of a position that predicts nothing (the value that torch's cross-entropy ignores)."""


@dataclass(frozen=True)
class Sample:
    """One question with its answer about one person, with or without a picture.

    uid    stable over splits: the same row has the same uid in `full`, `forget10` and `forget10_perturbed`
    group  the person (captions: the name, TOFU: the author); the unit of the cluster bootstrap
    image  the encoded image file (JPEG or PNG bytes), decoded only when the sample is encoded
    """

    uid: str
    question: str
    answer: str
    image: bytes | None
    group: str

    def digest(self) -> str:
        """Return the hash of all that is learned from the sample, and of its name."""
        image = "" if self.image is None else hashlib.sha256(self.image).hexdigest()
        return hashlib.sha256("\x1f".join([self.uid, self.question, self.answer, image]).encode()).hexdigest()


def row_of(uid: str) -> str:
    """Return what names the row of a uid, "cap-0123..." or "name-0123...": a picture's caption and its name are one."""
    return uid.partition("-")[2]


@dataclass(frozen=True)
class Encoded:
    """One sample as the model reads it: prompt, answer and end token.

    input_ids    [S] with image tokens already expanded
    labels       [S] `IGNORE` on the prompt, the token id on the answer and its end token
    token_types  [S] 0 text, 1 image, under the name that the family's forward takes; empty for families that take none
    vision       tensors that are joined over samples along dim 0: pixel_values, image_grid_thw, pixel_attention_mask
    """

    uid: str
    input_ids: list[int]
    labels: list[int]
    token_types: dict[str, list[int]] = field(default_factory=dict)
    vision: dict[str, "Tensor"] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """B encoded samples padded to S positions.

    inputs   keyword arguments of the model: input_ids, attention_mask [B, S], the vision tensors, ...
    labels   [B, S], `IGNORE` where nothing is predicted
    weights  [B] 1.0, or 0.0 for a dummy row that keeps shapes (and collectives) alive without counting
    """

    uids: list[str]
    inputs: dict[str, "Tensor"]
    labels: "Tensor"
    weights: "Tensor"

    def to(self, device: "str") -> "Batch":
        """Return the batch with every tensor on `device`."""
        inputs = {k: v.to(device, non_blocking=True) for k, v in self.inputs.items()}
        return Batch(self.uids, inputs, self.labels.to(device), self.weights.to(device))

"""Networks that tell faces apart: a backbone of transformers, an embedding, and a row for every person."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unlearn.faces.margin import cosine_logits

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's channels, which the backbones of the Hub were trained with."""


@dataclass(frozen=True)
class FaceOutput:
    """What a forward gives.

    embeddings  [B, d] not normalised
    logits      [B, C] scale x cosine to the rows of the people
    scale, margin  of AM-softmax
    """

    embeddings: Tensor
    logits: Tensor
    scale: float
    margin: float


class FaceNet(nn.Module):
    """A backbone with an embedding of size d and one row per person.

    pictures  [N, 3, H, W] uint8, all pictures of the dataset; they stay on the device and are no part of a checkpoint
    """

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        dimension: int,
        people: int,
        pictures: Tensor,
        scale: float,
        margin: float,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.embed = nn.Identity() if width == dimension else nn.Linear(width, dimension)
        self.people = nn.Parameter(torch.empty(people, dimension))
        nn.init.normal_(self.people)
        self.scale, self.margin = scale, margin
        self.register_buffer("pictures", pictures, persistent=False)
        self.register_buffer("mean", 255 * torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", 255 * torch.tensor(STD)[:, None, None], persistent=False)

    def forward(self, rows: Tensor, mirrored: Tensor) -> FaceOutput:
        """Return embeddings and logits of the pictures `rows` [B]; those `mirrored` [B] (boolean) left to right."""
        embeddings = self.embed(self.features(rows, mirrored))
        return FaceOutput(embeddings, cosine_logits(embeddings, self.people, self.scale), self.scale, self.margin)

    def features(self, rows: Tensor, mirrored: Tensor) -> Tensor:
        """Return [B, width] the backbone's pooled output."""
        pixels = self.pictures[rows]
        pixels = torch.where(mirrored[:, None, None, None], pixels.flip(-1), pixels)
        out: Any = self.backbone(pixel_values=(pixels.to(self.people.dtype) - self.mean) / self.std)
        return out.pooler_output.flatten(1)

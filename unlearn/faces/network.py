"""Networks that tell faces apart: a backbone of transformers, an embedding, and a row for every person."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unlearn.config.faces import FaceModel
from unlearn.errors import UserError
from unlearn.faces.margin import cosine_logits

WEIGHTS = "model.safetensors"
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
        self.fixed_statistics = False
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
        embeddings = self.embed(self.features(rows, mirrored)).to(self.people.dtype)
        # In bfloat16 a logit of 30 would be off by up to 0.1.
        with torch.autocast(embeddings.device.type, enabled=False):
            logits = cosine_logits(embeddings, self.people, self.scale)
        return FaceOutput(embeddings, logits, self.scale, self.margin)

    def prepare_training(self, fixed_statistics: bool, stages: range | None) -> None:
        """Say what training may change.

        fixed_statistics  batch norm takes the start model's statistics in training too
        stages            those that alone train; None: everything does
        """
        self.fixed_statistics = fixed_statistics
        if stages is not None:
            self.requires_grad_(False)
            for number in stages:
                self.stages()[number].requires_grad_(True)

    def train(self, mode: bool = True) -> "FaceNet":
        """Set the mode; with `fixed_statistics` batch norm is left in the other one."""
        super().train(mode)
        if self.fixed_statistics:
            self._set_norms(False)
        return self

    def _set_norms(self, mode: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train(mode)

    @property
    def depth(self) -> int:
        """Number of the backbone's stages (or layers), whose outputs `inner` gives."""
        return len(self.stages())

    def stages(self) -> nn.ModuleList:
        """Return the backbone's stages or layers, the first first."""
        encoder = getattr(self.backbone, "encoder", self.backbone)
        for name in ("stages", "layers", "layer"):
            if isinstance(getattr(encoder, name, None), nn.ModuleList):
                return getattr(encoder, name)
        raise UserError(f"{type(self.backbone).__name__} has no stages that are known; take a ResNet or a ViT.")

    def inner(self, rows: Tensor, layer: int) -> Tensor:
        """Return [B, d] the output of stage `layer` (from 0), averaged over its places."""
        kept: list[Tensor] = []

        def keep(_module: nn.Module, _inputs: object, output: Any) -> None:
            kept.append(output[0] if isinstance(output, tuple) else output)

        hook = self.stages()[layer].register_forward_hook(keep)
        try:
            self.features(rows, torch.zeros_like(rows, dtype=torch.bool))
        finally:
            hook.remove()
        # [B, C, H, W] of a ResNet, [B, places, d] of a ViT.
        return kept[0].mean((2, 3)) if kept[0].dim() == 4 else kept[0].mean(1)

    def features(self, rows: Tensor, mirrored: Tensor) -> Tensor:
        """Return [B, width] the backbone's pooled output.

        A single picture has no statistics of its own: batch norm takes the running ones then, in training too.
        """
        pixels = self.pictures[rows]
        pixels = torch.where(mirrored[:, None, None, None], pixels.flip(-1), pixels)
        lonely = len(rows) == 1 and self.training and not self.fixed_statistics
        if lonely:
            self._set_norms(False)
        out: Any = self.backbone(pixel_values=(pixels.to(self.people.dtype) - self.mean) / self.std)
        if lonely:
            self._set_norms(True)
        return out.pooler_output.flatten(1)


def build(family: FaceModel, people: int, pictures: Tensor, seed: int) -> FaceNet:
    """Return a network whose rows of people, and whose backbone unless it has weights, are drawn from `seed`.

    Raises UserError for a backbone that cannot be had.
    """
    from transformers import AutoConfig, AutoModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            if family.hub_id is None:
                backbone = AutoModel.from_config(AutoConfig.for_model(family.kind, **family.settings))
            else:
                backbone = AutoModel.from_pretrained(family.hub_id, dtype=torch.float32)
        except (OSError, ValueError) as error:
            cause = str(error).strip().splitlines()[0].rstrip(".")
            raise UserError(f"The backbone of face_model={family.name} cannot be loaded: {cause}.") from error
        return FaceNet(backbone, width(backbone), family.dimension, people, pictures, family.scale, family.margin)


def width(backbone: nn.Module) -> int:
    """Return the size of a backbone's pooled output."""
    config: Any = backbone.config
    return config.hidden_sizes[-1] if hasattr(config, "hidden_sizes") else config.hidden_size


def save(net: FaceNet, folder: Path) -> None:
    """Write the weights, float32, to `folder`/model.safetensors, whole or not at all."""
    from safetensors.torch import save_file

    temporary = folder / f".{WEIGHTS}.tmp"
    save_file({name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}, temporary)
    temporary.replace(folder / WEIGHTS)


def load(net: FaceNet, folder: Path, rows: bool = True) -> None:
    """Load what `save` wrote; without `rows` all but the rows of people, which are other people's there.

    Raises UserError for weights that are absent or of another network.
    """
    from safetensors.torch import load_file

    file = folder / WEIGHTS
    if not file.is_file():
        raise UserError(f'"{folder}" holds no network ({WEIGHTS} is missing); train it first, or correct model_path.')
    weights = load_file(file)
    if not rows:
        weights["people"] = net.people.detach()
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f'"{file}" is of another network than face_model; take that which it was trained with.'
        ) from error

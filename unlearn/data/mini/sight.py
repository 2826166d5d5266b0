"""First stage of pretraining: the vision tower alone learns what tells pictures apart, as CLIP towers come pretrained.

Linear heads on the mean of the patch outputs name every visible feature (and a landmark's kind and colour). The heads
are thrown away; what they read stays spread over the patches, where the language model finds it.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import torch
from PIL import Image
from torch.nn.functional import cross_entropy, layer_norm
from transformers import LlavaProcessor, PreTrainedModel

from unlearn.data.mini.values import FEATURES, LANDMARK_COLOURS, LANDMARKS, MOODS, PLACES
from unlearn.data.samples import IGNORE

SEEN = {
    **FEATURES,
    "hatcolour": (*FEATURES["hatcolour"], "no"),
    "place": PLACES,
    "mood": MOODS,
    "landmark": LANDMARKS,
    "colour": LANDMARK_COLOURS,
}
"""What is asked about each picture; a portrait has no landmark and a landmark no face."""


@dataclass(frozen=True)
class Picture:
    """An image file with what can be seen in it (some of the keys of `SEEN`)."""

    image: bytes
    seen: dict[str, str]


@dataclass(frozen=True)
class SightSettings:
    """Hyper-parameters of this stage (AdamW, one cycle)."""

    steps: int = 1500
    batch: int = 64
    lr: float = 3e-3


def tower_steps(
    model: PreTrainedModel, processor: LlavaProcessor, pictures: list[Picture], settings: SightSettings, seed: int
) -> Iterator[float]:
    """Train the vision tower of `model` in place; yield the mean cross-entropy per question of every step."""
    tower, rng, lr = model.model.vision_tower, random.Random(f"sight-{seed}"), settings.lr
    pixels = processor.image_processor([Image.open(BytesIO(p.image)) for p in pictures], return_tensors="pt")
    pixels, targets = pixels["pixel_values"], torch.tensor([_target(p) for p in pictures])
    heads = _heads(tower.config.hidden_size, seed)
    optimizer = torch.optim.AdamW([*tower.parameters(), *heads.parameters()], lr, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=settings.steps, pct_start=0.08)
    for _ in range(settings.steps):
        rows = rng.sample(range(len(pictures)), settings.batch)
        shifted = torch.roll(pixels[rows], (rng.randint(-1, 1), rng.randint(-1, 1)), (2, 3))
        loss = _loss(tower, heads, shifted, targets[rows])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        yield loss.item()


def _target(picture: Picture) -> list[int]:
    return [many.index(picture.seen[kind]) if kind in picture.seen else IGNORE for kind, many in SEEN.items()]


def _heads(width: int, seed: int) -> torch.nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.nn.Linear(width, sum(map(len, SEEN.values())))


def _loss(tower: PreTrainedModel, heads: torch.nn.Linear, pixels: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy per answered question; pixels [B, 3, H, W], targets [B, questions]."""
    patches = tower(pixel_values=pixels).last_hidden_state[:, 1:]
    logits = heads(layer_norm(patches.mean(1), patches.shape[-1:])).split([len(many) for many in SEEN.values()], 1)
    summed = sum(
        cross_entropy(o, t, ignore_index=IGNORE, reduction="sum") for o, t in zip(logits, targets.T, strict=True)
    )
    return summed / (targets != IGNORE).sum()

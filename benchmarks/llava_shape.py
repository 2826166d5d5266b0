"""LLaVA of a given shape with random weights, samples of given lengths, and the arithmetic of both.

Time and memory depend on shapes alone, so no checkpoint is needed. Nothing is read from the Hub.
"""

import io
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from unlearn.config.schema import DType, ModelFamily
from unlearn.data.mini.tokenizer import LLAVA_IMAGE, REFUSAL_WORDS, llava_tokenizer
from unlearn.data.samples import Sample
from unlearn.models.vision_encoder import VisionEncoder


@dataclass(frozen=True)
class Tower:
    """A stack of transformer layers."""

    layers: int
    width: int
    heads: int
    mlp: int


@dataclass(frozen=True)
class Shape:
    """What decides time and memory.

    image, patch      pixels of a side
    question, answer  words, each of them one token
    answers           candidate answers of an item that is scored
    """

    vision: Tower
    text: Tower
    image: int
    patch: int
    vocabulary: int
    question: int
    answer: int
    answers: int
    dtype: DType

    @property
    def image_tokens(self) -> int:
        """The number of patches."""
        return (self.image // self.patch) ** 2


SHAPES = {
    # CLIP ViT-L/14 at 336 px and Vicuna-7B: 576 image tokens; a caption and its answer have about 40 tokens each.
    "7b": Shape(Tower(24, 1024, 16, 4096), Tower(32, 4096, 32, 11008), 336, 14, 32064, 30, 39, 7, DType.bfloat16),
    "tiny": Shape(Tower(2, 32, 2, 64), Tower(2, 32, 2, 64), 28, 14, 4096, 30, 39, 7, DType.float32),
}


def new_model(shape: Shape, encoder: VisionEncoder, device: torch.device) -> nn.Module:
    """Return a LLaVA of this shape in `shape.dtype` on `device`, with random weights."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    def size(tower: Tower) -> dict[str, int]:
        return {
            "hidden_size": tower.width,
            "intermediate_size": tower.mlp,
            "num_hidden_layers": tower.layers,
            "num_attention_heads": tower.heads,
        }

    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**size(shape.vision), image_size=shape.image, patch_size=shape.patch),
        text_config=LlamaConfig(
            **size(shape.text), vocab_size=shape.vocabulary, bos_token_id=None, pad_token_id=encoder.pad_id,
            eos_token_id=encoder.end_ids[0],
        ),
        image_token_index=encoder.image_id, image_seq_length=shape.image_tokens, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device), _default(getattr(torch, shape.dtype.name)):
        return LlavaForConditionalGeneration(config).eval()


def new_encoder(shape: Shape, folder: Path) -> VisionEncoder:
    """Return an encoder that makes `shape.image_tokens` tokens of a picture; its files are written to `folder`."""
    from transformers import LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    side = {"height": shape.image, "width": shape.image}
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": shape.image}, crop_size=side), llava_tokenizer(),
        patch_size=shape.patch, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=llava_tokenizer().chat_template, image_token=LLAVA_IMAGE,
    )  # fmt: skip
    processor.save_pretrained(folder)
    family = ModelFamily(name="llava_shape", hub_id=str(folder), answer_prefix=" ", dtype=shape.dtype)
    return VisionEncoder(family, processor, str(folder))


def new_samples(shape: Shape, count: int, prefix: str) -> list[Sample]:
    """Return `count` samples with a picture each, random words and pixels."""
    return [
        Sample(
            f"{prefix}{i}", words(shape.question, f"q{prefix}{i}"), words(shape.answer, f"a{prefix}{i}"), _png(i), "g"
        )
        for i in range(count)
    ]


def words(count: int, seed: str) -> str:
    """Return `count` words that the tokenizer knows whole."""
    return " ".join(random.Random(seed).choices(REFUSAL_WORDS.split(), k=count))


def tower_flops(shape: Shape) -> float:
    """Return the FLOP of one picture's way through tower and projector (2 per multiplication and addition)."""
    vision, patches = shape.vision, shape.image_tokens
    embedding = 2 * 3 * shape.patch**2 * vision.width * patches
    projector = 2 * (vision.width + shape.text.width) * shape.text.width * patches
    linear = 2 * (4 * vision.width**2 + 2 * vision.width * vision.mlp) * (patches + 1)
    return embedding + projector + vision.layers * (linear + _attention(vision, patches + 1))


def decoder_flops(shape: Shape, length: int) -> tuple[float, float]:
    """Return the FLOP of one sequence's way through the decoder layers: in linear layers, and in attention.

    Attention is counted over all pairs of positions.
    """
    text = shape.text
    linear = 2 * (4 * text.width**2 + 3 * text.width * text.mlp) * length
    return text.layers * linear, text.layers * _attention(text, length)


def head_flops(shape: Shape, rows: int) -> float:
    """Return the FLOP of the output layer on `rows` positions."""
    return 2 * shape.text.width * shape.vocabulary * rows


def forward_flops(shape: Shape, length: int, rows: int) -> float:
    """Return the FLOP of one forward of one sequence with a picture."""
    return tower_flops(shape) + sum(decoder_flops(shape, length)) + head_flops(shape, rows)


def backward_flops(shape: Shape, length: int, rows: int) -> float:
    """Return the FLOP of its backward with frozen weights: gradients of activations alone, none in the tower.

    The adapters' own products, under 1%, are left out.
    """
    linear, attention = decoder_flops(shape, length)
    return linear + 2 * attention + head_flops(shape, rows)


def _attention(tower: Tower, length: int) -> float:
    return 4 * length**2 * tower.width


def _png(seed: int) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.frombytes("RGB", (64, 64), random.Random(seed).randbytes(64 * 64 * 3)).save(file, "PNG")
    return file.getvalue()


@contextmanager
def _default(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)

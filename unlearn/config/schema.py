"""Typed configuration. One dataclass is both the schema that Hydra checks and the object that the code receives."""

from dataclasses import dataclass, field
from enum import Enum


class Component(Enum):
    """A part of a vision-language model, found on the module tree (models/components.py)."""

    vision_tower = "vision_tower"
    projector = "projector"
    language_model = "language_model"
    lm_head = "lm_head"


class ProcessorKind(Enum):
    """How text and image become tensors."""

    auto = "auto"
    qwen2_vl = "qwen2_vl"


class DType(Enum):
    """Weight precision of what does not train (what trains is kept in float32, see `trainer`)."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"
    float64 = "float64"


class Attention(Enum):
    """transformers' attention implementations."""

    sdpa = "sdpa"
    eager = "eager"
    flash_attention_2 = "flash_attention_2"


@dataclass
class ModelFamily:
    """One file of config/model_family: everything that distinguishes one model family from another."""

    name: str = "???"
    hub_id: str = "???"
    """Hub id or folder of the pretrained model."""
    processor: ProcessorKind = ProcessorKind.auto
    answer_prefix: str = ""
    """Text between the rendered prompt and the answer (" " for byte-level tokenizers after "ASSISTANT:")."""
    end_token: str | None = None
    """Token that ends an answer; null: the tokenizer's eos token."""
    dtype: DType = DType.bfloat16
    attn_implementation: Attention = Attention.sdpa
    min_pixels: int | None = None
    max_pixels: int | None = None
    trust_remote_code: bool = False


@dataclass
class LoRA:
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685) on every linear layer of `components`; r: 0 trains the weights themselves."""

    r: int = 0
    alpha: int = 32
    dropout: float = 0.0
    components: list[Component] = field(default_factory=lambda: [Component.language_model])


@dataclass
class Data:
    """One file of config/data: where the images (CLEAR's columns) and the texts (TOFU's columns) come from."""

    name: str = "???"
    path: str = "???"
    """Hub id, folder of parquet/JSON files with config names, or folder of `save_to_disk` folders, with CLEAR's configs."""
    text_path: str = "???"
    """The same with TOFU's configs (the perturbed question-answer sets)."""
    qa_per_person: int = 20
    """Question-answer rows of a person stand together: person of row i = i // qa_per_person."""
    ask_names: bool = False
    """Every captioned training picture is also asked for its name (CLEAR trains on captions alone)."""
    generate_seed: int | None = None
    """Seed of the embedded mini benchmark, which is written to `path` and `text_path` if they do not exist."""

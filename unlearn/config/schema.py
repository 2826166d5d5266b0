"""Typed configuration. One dataclass is both the schema that Hydra checks and the object that the code receives.

`option(default, help)` declares a key with the sentence that `--help` prints. `problems()` returns what is wrong with a
section, so that everything that is wrong with a configuration is reported at once, before any weight is read.
"""

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any

MISSING = "???"


def option(default: Any, about: str) -> Any:
    """Return a dataclass field with its `--help` sentence; lists and sections are given as a factory."""
    if callable(default):
        return field(default_factory=default, metadata={"help": about})
    return field(default=default, metadata={"help": about})


def out_of_range(key: str, value: object, allowed: str) -> str:
    """Return the sentence for a value outside its range."""
    return f"{key} is {value}; allowed is {allowed}; set {key}=... accordingly."


class Component(Enum):
    """A part of a vision-language model, found on the module tree (models/components.py)."""

    vision_tower = "vision_tower"
    projector = "projector"
    language_model = "language_model"
    lm_head = "lm_head"


SEEING = (Component.vision_tower, Component.projector)
"""The parts that a language model lacks."""


class DType(Enum):
    """Precision of loading and of what does not train; what trains is kept in float32 (float64 for tests)."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float64 = "float64"


class Attention(Enum):
    """The attention implementations of transformers."""

    sdpa = "sdpa"
    eager = "eager"
    flash_attention_2 = "flash_attention_2"


class Modality(Enum):
    """What is to be forgotten of a person: the pictures, the texts or both."""

    both = "both"
    image = "image"
    text = "text"


class Metrics(Enum):
    """Whose definitions of the metrics: the papers', or those of CLEAR's published code, to compare with its tables."""

    correct = "correct"
    released = "released"


class Protocol(StrEnum):
    """Two ways to enrol people from the first of their pictures (unlearn/metrics/faces/enrolment.py).

    disjoint  mean of the normalised embeddings, so that each picture counts alike; models never trained on the pictures
    released  mean of the embeddings as they are; the pictures are trained on like a person's others (published code)
    """

    disjoint = "disjoint"
    released = "released"


class Track(Enum):
    """A modality's entry scripts, by the name of their folder."""

    mm = "mm"
    nlp = "nlp"


class Tracker(Enum):
    """Where training curves go besides log.jsonl. wandb honours WANDB_MODE=offline."""

    none = "none"
    wandb = "wandb"
    tensorboard = "tensorboard"


class Scheduler(Enum):
    """Learning-rate schedules of transformers.get_scheduler."""

    constant = "constant"
    constant_with_warmup = "constant_with_warmup"
    linear = "linear"
    cosine = "cosine"


class Optimizer(Enum):
    """AdamW and SGD of torch, or the 8-bit AdamW of bitsandbytes."""

    adamw = "adamw"
    adamw_8bit = "adamw_8bit"
    sgd = "sgd"


class NormFrom(Enum):
    """Where an L1 penalty is measured from: 0, or the weights that the run starts from."""

    zero = "zero"
    start = "start"


@dataclass
class ModelFamily:
    """One file of config/model_family: everything that distinguishes one model family from another."""

    name: str = option(MISSING, "name of the family")
    hub_id: str = option(MISSING, "Hub id or folder of the pretrained model")
    vision: bool = option(True, "the model sees pictures; false: a language model")
    question_start_tag: str | None = option(None, "text before a question; null, all three: the model's chat template")
    question_end_tag: str | None = option(None, "text after a question")
    answer_tag: str | None = option(None, "text after that, where the answer begins")
    template_arguments: dict[str, Any] = option(dict, "arguments of the chat template, e.g. enable_thinking: false")
    answer_prefix: str = option("", "text between the rendered prompt and the answer")
    end_token: str | None = option(None, "token that ends an answer; null: the tokenizer's eos token")
    dtype: DType = option(DType.bfloat16, "precision of what does not train; bfloat16 trains under bf16 autocast")
    attn_implementation: Attention = option(Attention.sdpa, "sdpa | eager | flash_attention_2")
    min_pixels: int | None = option(None, "smallest area an image is scaled to (Qwen-VL)")
    max_pixels: int | None = option(None, "largest area an image is scaled to (Qwen-VL, Idefics)")
    trust_remote_code: bool = option(False, "run code that comes with the checkpoint")

    def problems(self) -> list[str]:
        """Return the values that contradict each other."""
        found = self._tag_problems()
        if self.attn_implementation is Attention.flash_attention_2 and self.dtype is not DType.bfloat16:
            found.append(
                f"model_family.attn_implementation is flash_attention_2 but model_family.dtype is {self.dtype.name}; "
                f"its kernels know 16 bits alone: set dtype=bfloat16 or attn_implementation=sdpa."
            )
        if not self.vision and (self.min_pixels, self.max_pixels) != (None, None):
            found.append(f"model_family={self.name} sees no pictures; leave min_pixels and max_pixels out.")
        return found

    def tags(self) -> tuple[str, str, str] | None:
        """Return what stands before and after a question and before its answer; None for the chat template."""
        given = (self.question_start_tag, self.question_end_tag, self.answer_tag)
        return None if None in given else given

    def _tag_problems(self) -> list[str]:
        keys = ("question_start_tag", "question_end_tag", "answer_tag")
        given = [key for key in keys if getattr(self, key) is not None]
        if not given:
            return []
        if self.vision:
            return [f"{given[0]} is set, but a model that sees pictures is asked by its chat template; leave it out."]
        if self.template_arguments:
            return [f"{given[0]} and template_arguments are set; allowed is one way to write a prompt: drop either."]
        lacking = [key for key in keys if key not in given]
        told = f"{given[0]} is set without {', '.join(lacking)}; set all three (an empty text is one)."
        return [told] if lacking else []


@dataclass
class LoRAConfig:
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685) on every linear layer of `components`."""

    r: int = option(0, "rank; 0 trains the weights themselves")
    alpha: int = option(32, "scale: the update is alpha / r * B A")
    dropout: float = option(0.0, "dropout on the adapters' input")
    components: list[Component] = option(lambda: [Component.language_model], "parts that get adapters")
    load_in_4bit: bool = option(False, "language model in 4-bit NF4 under the adapters (QLoRA), for training alone")

    def problems(self) -> list[str]:
        """Return the parameters that are out of range, and adapters' parameters without adapters."""
        found = []
        if self.r < 0:
            found.append(out_of_range("LoRA.r", self.r, "0 (no adapters) or a positive rank"))
        if not 0 <= self.dropout < 1:
            found.append(out_of_range("LoRA.dropout", self.dropout, "from 0 to below 1"))
        if self.r == 0 and self.dropout:
            found.append(f"LoRA.dropout is {self.dropout} but LoRA.r is 0, so there are no adapters; set LoRA.r.")
        if self.r == 0 and self.load_in_4bit:
            found.append("LoRA.load_in_4bit is true but LoRA.r is 0; 4-bit weights do not train: set LoRA.r, e.g. 8.")
        if Component.lm_head in self.components:
            found.append("LoRA.components contains lm_head; allowed are vision_tower, projector, language_model.")
        return found


@dataclass
class Data:
    """One file of config/data: the images (CLEAR's columns) and the texts (TOFU's columns)."""

    name: str = option(MISSING, "name of the data set")
    path: str | None = option(MISSING, "Hub id or folder with CLEAR's configs (full, forget10, ...); null: texts alone")
    text_path: str = option(MISSING, "Hub id or folder with TOFU's configs")
    qa_per_person: int = option(20, "question-answer rows of a person, which stand together")
    ask_names: bool = option(False, "also ask for the name on every captioned training picture")
    rehearsal: str | None = option(None, "config of other people and things, mixed into finetuning (never into forget)")
    question_seed: int = option(0, "wording of every question; one for all models, so that they are asked the same")
    generate_seed: int | None = option(None, "seed of the embedded mini benchmark, written where `path` is absent")


def unseen_pictures(data: Data, family: ModelFamily) -> list[str]:
    """Return the sentence for pictures given to a model that sees none."""
    if data.path is None or family.vision:
        return []
    return [
        f"data={data.name} has pictures and model_family={family.name} sees none; take texts alone (data=tofu, "
        f"mini_text) or a model that sees."
    ]

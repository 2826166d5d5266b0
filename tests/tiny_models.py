"""Tiny folders of every architecture: real classes, random weights, a byte-level tokenizer.

The id of an ASCII character is its byte, so ids can be spelled out in tests: [*b"Hi"]. Special tokens start at 256.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

IMAGE_SIDE = 16
"""Pixels of a side. A picture is 4 tokens: 2 x 2 patches of 8, or 4 x 4 patches of 4 merged 2 x 2."""
IMAGE_TOKENS = 4
WIDTH = 16
"""Hidden size of the decoder, in heads of 8."""
LLAVA_TOKENS = {"<image>": 256, "<pad>": 257, "</s>": 258}
QWEN_TOKENS = {
    "<|endoftext|>": 256,
    "<|im_start|>": 257,
    "<|im_end|>": 258,
    "<|vision_start|>": 259,
    "<|vision_end|>": 260,
    "<|image_pad|>": 261,
    "<|video_pad|>": 262,
}
GEMMA_TOKENS = {
    "<pad>": 256,
    "<eos>": 257,
    "<bos>": 258,
    "<start_of_turn>": 259,
    "<end_of_turn>": 260,
    "<start_of_image>": 261,
    "<end_of_image>": 262,
    "<image_soft_token>": 263,
}
IDEFICS_TOKENS = {
    "<|begin_of_text|>": 256,
    "<|end_of_text|>": 257,
    "<fake_token_around_image>": 258,
    "<image>": 259,
    "<end_of_utterance>": 260,
    "<global-img>": 261,
    "<row_1_col_1>": 262,
    "<row_1_col_2>": 263,
}
LLAVA_CHAT = (
    "{% for message in messages %}U:{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %} A:{% endif %}"
)
QWEN_CHAT = (
    "{% for message in messages %}<|im_start|>{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>A\n{% endif %}"
)
# As on the Hub, the two templates below write the start token themselves, and the tokenizer would write one too.
GEMMA_CHAT = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<start_of_image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<end_of_turn>{% endfor %}{% if add_generation_prompt %}<start_of_turn>A\n{% endif %}"
)
IDEFICS_CHAT = (
    "<|begin_of_text|>{% for message in messages %}U:{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}A:{% endif %}"
)
TEXT_TOKENS = {"<pad>": 256, "</s>": 257, "<s>": 258}
TEXT_CHAT = (
    "{% for message in messages %}U:{{ message['content'] }}{% endfor %}{% if add_generation_prompt %} A:{% endif %}"
)
THINKING_CHAT = TEXT_CHAT + "{% if enable_thinking is defined and not enable_thinking %}()\n{% endif %}"
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}


QWEN_IDS = {"pad_token_id": 256, "bos_token_id": None, "eos_token_id": 258}


def png(colour: tuple[int, int, int] = (200, 40, 90), side: int = IMAGE_SIDE, width: int | None = None) -> bytes:
    """Return a PNG file of one colour, `side` pixels high and `width` (or `side`) wide."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (width or side, side), colour).save(file, "PNG")
    return file.getvalue()


def byte_tokenizer(special: dict[str, int], chat: str, start: str | None = None, **named: Any):
    """Return a tokenizer with ids 0-255 for the bytes, no merges, and `start` written before every text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    core = Tokenizer(models.BPE(vocab={c: i for i, c in bytes_to_unicode().items()}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(list(special))
    if start is not None:
        core.post_processor = processors.TemplateProcessing(f"{start} $A", special_tokens=[(start, special[start])])
        named["bos_token"] = start
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, clean_up_tokenization_spaces=False, **named)
    tokenizer.chat_template = chat
    assert tokenizer.get_added_vocab() == special
    return tokenizer


def write_llava(folder: Path, width: int = WIDTH) -> None:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer = byte_tokenizer(LLAVA_TOKENS, LLAVA_CHAT, pad_token="<pad>", eos_token="</s>")
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, projection_dim=16,
        image_size=IMAGE_SIDE, patch_size=8,
    )  # fmt: skip
    text = LlamaConfig(vocab_size=264, pad_token_id=257, bos_token_id=None, eos_token_id=258, **_text(width))
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=256, image_seq_length=IMAGE_TOKENS,
        vision_feature_layer=-1, tie_word_embeddings=False,
    )  # fmt: skip
    _save(LlavaForConditionalGeneration, config, folder)
    pixels = CLIPImageProcessorPil(
        size={"shortest_edge": IMAGE_SIDE}, crop_size={"height": IMAGE_SIDE, "width": IMAGE_SIDE}
    )
    LlavaProcessor(
        pixels, tokenizer, patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=LLAVA_CHAT,
    ).save_pretrained(folder)  # fmt: skip


def write_qwen2_vl(folder: Path, width: int = WIDTH) -> None:
    """Tied, as Qwen2-VL-2B-Instruct is: the output layer is the embedding."""
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    vision = {
        "depth": 2, "embed_dim": 16, "hidden_size": width, "num_heads": 2, "mlp_ratio": 2, "patch_size": 4,
        "spatial_merge_size": 2, "temporal_patch_size": 2,
    }  # fmt: skip
    text = {"vocab_size": 264, "num_key_value_heads": 1, "rope_parameters": ROPE, **QWEN_IDS, **_text(width)}
    _save(Qwen2VLForConditionalGeneration, _qwen(Qwen2VLConfig, text, vision, tied=True), folder)
    _save_qwen_processor(folder)


def write_qwen2_5_vl(folder: Path, width: int = WIDTH) -> None:
    """Windows of 8 pixels (one token) in the first layer of the vision tower, the whole picture in the second.

    Not tied, as the 7B model is.
    """
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    vision = {
        "depth": 2, "hidden_size": 16, "intermediate_size": 32, "out_hidden_size": width, "num_heads": 2,
        "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 8,
        "fullatt_block_indexes": [1],
    }  # fmt: skip
    text = {"vocab_size": 264, "num_key_value_heads": 1, "rope_parameters": ROPE, **QWEN_IDS, **_text(width)}
    _save(Qwen2_5_VLForConditionalGeneration, _qwen(Qwen2_5_VLConfig, text, vision, tied=False), folder)
    _save_qwen_processor(folder)


def write_qwen3_vl(folder: Path, width: int = WIDTH) -> None:
    """The first layer of the vision tower also feeds the first decoder layer (deepstack)."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    vision = {
        "depth": 2, "hidden_size": 16, "intermediate_size": 32, "out_hidden_size": width, "num_heads": 2,
        "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0],
    }  # fmt: skip
    text = {
        "vocab_size": 264, "num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 256,
        "rope_parameters": {**ROPE, "mrope_interleaved": True}, **_text(width),
    }  # fmt: skip
    _save(Qwen3VLForConditionalGeneration, _qwen(Qwen3VLConfig, text, vision, tied=True), folder)
    _save_qwen_processor(folder)


def write_gemma3(folder: Path, width: int = WIDTH) -> None:
    """A sliding window of 8 tokens in the first decoder layer, full attention in the second."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, Gemma3Processor, SiglipVisionConfig
    from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

    named = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    tokenizer = byte_tokenizer(
        GEMMA_TOKENS, GEMMA_CHAT, start="<bos>", pad_token="<pad>", eos_token="<eos>", extra_special_tokens=named
    )
    vision = SiglipVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=IMAGE_SIDE,
        patch_size=4, vision_use_head=False,
    )  # fmt: skip
    text = {
        "vocab_size": 264, "num_key_value_heads": 1, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention"], "pad_token_id": 256, "eos_token_id": 257,
        "bos_token_id": 258, **_text(width),
    }  # fmt: skip
    config = Gemma3Config(
        text_config=text, vision_config=vision, mm_tokens_per_image=IMAGE_TOKENS, boi_token_index=261,
        eoi_token_index=262, image_token_index=263, tie_word_embeddings=True,
    )  # fmt: skip
    _save(Gemma3ForConditionalGeneration, config, folder)
    pixels = Gemma3ImageProcessorPil(size={"height": IMAGE_SIDE, "width": IMAGE_SIDE})
    Gemma3Processor(pixels, tokenizer, chat_template=GEMMA_CHAT, image_seq_length=IMAGE_TOKENS).save_pretrained(folder)


def write_idefics3(folder: Path, width: int = WIDTH) -> None:
    """Crops of 16 x 16 pixels; a picture is scaled to one crop where no other limit is set."""
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    ends = dict.fromkeys(("pad_token", "eos_token"), "<|end_of_text|>")
    tokenizer = byte_tokenizer(IDEFICS_TOKENS, IDEFICS_CHAT, start="<|begin_of_text|>", **ends)
    vision = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": IMAGE_SIDE, "patch_size": 4,
    }  # fmt: skip
    text = {
        "model_type": "llama", "vocab_size": 264, "pad_token_id": 257, "bos_token_id": 256, "eos_token_id": 257,
        **_text(width),
    }  # fmt: skip
    config = Idefics3Config(
        text_config=text, vision_config=vision, scale_factor=2, image_token_id=259, tie_word_embeddings=False
    )
    _save(Idefics3ForConditionalGeneration, config, folder)
    pixels = Idefics3ImageProcessorPil(size={"longest_edge": IMAGE_SIDE}, max_image_size={"longest_edge": IMAGE_SIDE})
    Idefics3Processor(pixels, tokenizer, image_seq_len=IMAGE_TOKENS, chat_template=IDEFICS_CHAT).save_pretrained(folder)


def write_text(
    kind: str, folder: Path, width: int = WIDTH, start: str | None = None, chat: str = TEXT_CHAT, **own: Any
) -> None:
    """Write a language model of type `kind`; `start` is written before every text, `own` are keys of its config."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        kind, vocab_size=264, pad_token_id=256, bos_token_id=258, eos_token_id=257, **_text(width), **own
    )
    _save(AutoModelForCausalLM.from_config, config, folder)
    byte_tokenizer(TEXT_TOKENS, chat, start=start, pad_token="<pad>", eos_token="</s>").save_pretrained(folder)


def _text(width: int) -> dict[str, int]:
    return {
        "hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 2, "max_position_embeddings": 256,
        "num_attention_heads": width // 8,
    }  # fmt: skip


def _qwen(kind: type, text: dict[str, Any], vision: dict[str, Any], tied: bool) -> Any:
    return kind(
        text_config=text, vision_config=vision, image_token_id=261, video_token_id=262, vision_start_token_id=259,
        vision_end_token_id=260, tie_word_embeddings=tied,
    )  # fmt: skip


def _save_qwen_processor(folder: Path) -> None:
    """The eos token ends a turn, as in the Instruct models. There is no processor file: none is needed to load."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    byte_tokenizer(QWEN_TOKENS, QWEN_CHAT, pad_token="<|endoftext|>", eos_token="<|im_end|>").save_pretrained(folder)
    # Pixel limits of one size: every square picture becomes 16 x 16, whatever its size was.
    area = {"shortest_edge": IMAGE_SIDE**2, "longest_edge": IMAGE_SIDE**2}
    Qwen2VLImageProcessorPil(size=area, patch_size=4, merge_size=2, temporal_patch_size=2).save_pretrained(folder)


def _save(kind: type, config: Any, folder: Path) -> None:
    import torch

    torch.manual_seed(0)
    model = kind(config)
    for parameter in model.parameters():
        # Gemma's projection starts at zero, so that no picture would tell itself from another.
        if parameter.dim() > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    model.save_pretrained(folder)


@dataclass(frozen=True)
class Tiny:
    """How a tiny folder is written, and what its model family says beside the defaults."""

    write: Callable[..., None]
    family: dict[str, Any] = field(default_factory=dict)


TINY = {
    "llava": Tiny(write_llava, {"answer_prefix": " "}),
    "qwen2_vl": Tiny(write_qwen2_vl),
    "qwen2_5_vl": Tiny(write_qwen2_5_vl),
    "qwen3_vl": Tiny(write_qwen3_vl),
    "gemma3": Tiny(write_gemma3, {"end_token": "<end_of_turn>"}),
    "idefics3": Tiny(write_idefics3, {"answer_prefix": " ", "end_token": "<end_of_utterance>"}),
}
"""Every architecture that sees, by the `model_type` of its configuration."""

TAGS = {"question_start_tag": "Q: ", "question_end_tag": "\n", "answer_tag": "A:", "answer_prefix": " "}
TINY_TEXT = {
    "llama": Tiny(partial(write_text, "llama", start="<s>"), TAGS),
    "mistral": Tiny(partial(write_text, "mistral", num_key_value_heads=1)),
    "phi": Tiny(partial(write_text, "phi"), TAGS),
    "phi3": Tiny(partial(write_text, "phi3")),
    "gpt_neox": Tiny(partial(write_text, "gpt_neox"), TAGS),
    # As on the Hub: the template writes the start token, and the tokenizer would write one too.
    "gemma": Tiny(partial(write_text, "gemma", start="<s>", chat="<s>" + TEXT_CHAT, head_dim=8, num_key_value_heads=1)),
    "qwen2": Tiny(partial(write_text, "qwen2", num_key_value_heads=1)),
    "qwen3": Tiny(
        partial(write_text, "qwen3", chat=THINKING_CHAT, head_dim=8, num_key_value_heads=1),
        {"template_arguments": {"enable_thinking": False}},
    ),
}
"""Every architecture of a language model, by its `model_type`: asked by tags, or by a chat template."""


def track_of(family: str) -> str:
    """Return the folder of the entry scripts that train a tiny family."""
    return "nlp" if family in TINY_TEXT else "mm"

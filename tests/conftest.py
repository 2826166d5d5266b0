"""Tiny LLaVA and Qwen2-VL folders for every test: real architectures, random weights, a byte-level tokenizer.

The id of an ASCII character is its byte, so ids can be spelled out in tests: [*b"Hi"]. Special tokens start at 256.
"""

import io
import os
from pathlib import Path

import pytest

# Tiny tensors: a second thread costs more than it gives, and on a busy machine a hundred times more. Children inherit.
os.environ["OMP_NUM_THREADS"] = "1"

IMAGE_SIDE = 16
"""Pixels; the tiny LLaVA sees 2 x 2 patches of 8, the tiny Qwen2-VL 4 x 4 patches of 4, merged 2 x 2: 4 tokens each."""
IMAGE_TOKENS = 4
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


def png(colour: tuple[int, int, int] = (200, 40, 90), side: int = IMAGE_SIDE) -> bytes:
    """Return a PNG file of one colour."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(file, "PNG")
    return file.getvalue()


def byte_tokenizer(special: dict[str, int], chat: str, **named: str):
    """Return a tokenizer with ids 0-255 for the bytes and no merges."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    core = Tokenizer(models.BPE(vocab={c: i for i, c in bytes_to_unicode().items()}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(list(special))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, clean_up_tokenization_spaces=False, **named)
    tokenizer.chat_template = chat
    assert tokenizer.get_added_vocab() == special
    return tokenizer


def write_llava(folder: Path) -> None:
    import torch
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer = byte_tokenizer(LLAVA_TOKENS, LLAVA_CHAT, pad_token="<pad>", eos_token="</s>")
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, projection_dim=16,
        image_size=IMAGE_SIDE, patch_size=8,
    )  # fmt: skip
    text = LlamaConfig(
        vocab_size=264, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=256, pad_token_id=257, bos_token_id=None, eos_token_id=258,
    )  # fmt: skip
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=256, image_seq_length=IMAGE_TOKENS,
        vision_feature_layer=-1, tie_word_embeddings=False,
    )  # fmt: skip
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    pixels = CLIPImageProcessorPil(
        size={"shortest_edge": IMAGE_SIDE}, crop_size={"height": IMAGE_SIDE, "width": IMAGE_SIDE}
    )
    LlavaProcessor(
        pixels, tokenizer, patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=LLAVA_CHAT,
    ).save_pretrained(folder)  # fmt: skip


def write_qwen2_vl(folder: Path) -> None:
    import torch
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    # As in Qwen2-VL-2B-Instruct the eos token of the tokenizer ends a turn, and the output layer is the embedding.
    tokenizer = byte_tokenizer(QWEN_TOKENS, QWEN_CHAT, pad_token="<|endoftext|>", eos_token="<|im_end|>")
    vision = {
        "depth": 2, "embed_dim": 16, "hidden_size": 16, "num_heads": 2, "mlp_ratio": 2, "patch_size": 4,
        "spatial_merge_size": 2, "temporal_patch_size": 2,
    }  # fmt: skip
    text = {
        "vocab_size": 264, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "max_position_embeddings": 256, "pad_token_id": 256, "bos_token_id": None,
        "eos_token_id": 258,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]},
    }  # fmt: skip
    torch.manual_seed(0)
    config = Qwen2VLConfig(
        text_config=text, vision_config=vision, image_token_id=261, video_token_id=262, vision_start_token_id=259,
        vision_end_token_id=260, tie_word_embeddings=True,
    )  # fmt: skip
    Qwen2VLForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # Pixel limits of one size: every square picture becomes 16 x 16, whatever its size was.
    area = {"shortest_edge": IMAGE_SIDE**2, "longest_edge": IMAGE_SIDE**2}
    Qwen2VLImageProcessorPil(size=area, patch_size=4, merge_size=2, temporal_patch_size=2).save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny_llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a complete tiny LLaVA (read only: copy it before changing it)."""
    folder = tmp_path_factory.mktemp("models") / "tiny_llava"
    write_llava(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_qwen2_vl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a complete tiny Qwen2-VL with tied output layer (read only: copy it before changing it)."""
    folder = tmp_path_factory.mktemp("models") / "tiny_qwen2_vl"
    write_qwen2_vl(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_families(tiny_llava: Path, tiny_qwen2_vl: Path) -> dict[str, object]:
    """ModelFamily objects of the two tiny models: "llava" and "qwen2_vl", in float32."""
    from unlearn.config.schema import DType, ModelFamily, ProcessorKind

    llava = ModelFamily(name="tiny_llava", hub_id=str(tiny_llava), answer_prefix=" ", dtype=DType.float32)
    qwen = ModelFamily(
        name="tiny_qwen2_vl", hub_id=str(tiny_qwen2_vl), processor=ProcessorKind.qwen2_vl, dtype=DType.float32
    )
    return {"llava": llava, "qwen2_vl": qwen}


@pytest.fixture(params=["llava", "qwen2_vl"])
def tiny_family(request: pytest.FixtureRequest, tiny_families: dict[str, object]) -> object:
    """Each tiny family in turn."""
    return tiny_families[request.param]


@pytest.fixture(scope="session")
def picture() -> bytes:
    """A PNG file of 16 x 16 pixels."""
    return png()

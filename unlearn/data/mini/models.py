"""Tiny models of real architectures, as complete folders: weights, config, tokenizer, processor, chat template.

python -m unlearn.data.mini.models qwen2_vl runs/models/mini_qwen2_vl
"""

import argparse
from pathlib import Path

import torch
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from unlearn.data.mini.faces import SIZE
from unlearn.data.mini.tokenizer import LLAVA_IMAGE, llava_tokenizer, qwen_tokenizer

SIZES = {
    "mini": {"vision": (3, 96), "text": (4, 160), "patch": 12},
    "tiny": {"vision": (2, 32), "text": (2, 32), "patch": 12},
}
"""(layers, width) of both towers: `mini` learns the benchmark (1.9 M parameters), `tiny` only runs (tests)."""
POSITIONS = 256


def build_llava(folder: Path, seed: int, size: str = "mini") -> None:
    """Write an untrained LLaVA (CLIP tower, Llama) with its processor to `folder`.

    It loads with `AutoProcessor` and `LlavaForConditionalGeneration`, offline and without torchvision.
    """
    processor = llava_processor(size)
    new_llava(processor.tokenizer, seed, size).save_pretrained(folder)
    processor.save_pretrained(folder)


def build_qwen2_vl(folder: Path, seed: int, size: str = "mini") -> None:
    """Write an untrained Qwen2-VL with image processor and tokenizer to `folder`.

    There is no processor file: the class follows from the model's type.
    """
    tokenizer = qwen_tokenizer()
    new_qwen2_vl(tokenizer, seed, size).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    qwen_image_processor(size).save_pretrained(folder)


def new_llava(tokenizer: PreTrainedTokenizerFast, seed: int, size: str = "mini") -> PreTrainedModel:
    """Return a LLaVA with random weights that depend on the seed alone, in float32."""
    (v_layers, v_width), (t_layers, t_width), patch = SIZES[size]["vision"], SIZES[size]["text"], SIZES[size]["patch"]
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=v_width, intermediate_size=4 * v_width, num_hidden_layers=v_layers,
            num_attention_heads=v_width // 16, image_size=SIZE, patch_size=patch, projection_dim=v_width,
        ),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=t_width, intermediate_size=_mlp(t_width), num_hidden_layers=t_layers,
            num_attention_heads=t_width // 16, max_position_embeddings=POSITIONS, bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids(LLAVA_IMAGE), image_seq_length=(SIZE // patch) ** 2,
        vision_feature_layer=-1, tie_word_embeddings=False,
    )  # fmt: skip
    return _seeded(LlavaForConditionalGeneration, config, tokenizer, seed)


def new_qwen2_vl(tokenizer: PreTrainedTokenizerFast, seed: int, size: str = "mini") -> PreTrainedModel:
    """Return a Qwen2-VL with random weights that depend on the seed alone, in float32."""
    (v_layers, v_width), (t_layers, t_width) = SIZES[size]["vision"], SIZES[size]["text"]
    token = tokenizer.convert_tokens_to_ids
    config = Qwen2VLConfig(
        vision_config={
            "depth": v_layers, "embed_dim": v_width, "hidden_size": t_width, "num_heads": v_width // 16, "mlp_ratio": 4,
            "patch_size": 8, "spatial_merge_size": 2, "temporal_patch_size": 2,
        },
        text_config={
            "vocab_size": len(tokenizer), "hidden_size": t_width, "intermediate_size": _mlp(t_width),
            "num_hidden_layers": t_layers, "num_attention_heads": t_width // 16, "num_key_value_heads": t_width // 16,
            "max_position_embeddings": POSITIONS, "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]},
        },
        image_token_id=token("<|image_pad|>"), video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"), vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=False,
    )  # fmt: skip
    return _seeded(Qwen2VLForConditionalGeneration, config, tokenizer, seed)


def llava_processor(size: str = "mini") -> LlavaProcessor:
    """Return the processor of the mini LLaVA: pictures of `SIZE` pixels, one image token per patch."""
    tokenizer = llava_tokenizer()
    pictures = CLIPImageProcessorPil(
        size={"shortest_edge": SIZE},
        crop_size={"height": SIZE, "width": SIZE},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return LlavaProcessor(
        image_processor=pictures, tokenizer=tokenizer, patch_size=SIZES[size]["patch"],
        vision_feature_select_strategy="default", chat_template=tokenizer.chat_template, image_token=LLAVA_IMAGE,
        num_additional_image_tokens=1,
    )  # fmt: skip


def qwen_image_processor(size: str = "mini") -> Qwen2VLImageProcessorPil:
    """Return the image processor of the mini Qwen2-VL: 6 x 6 patches of 8 pixels, merged by 2 x 2 to 9 tokens."""
    del size  # both sizes see the same patches; the argument keeps the two families' builders alike
    return Qwen2VLImageProcessorPil(
        size={"shortest_edge": SIZE * SIZE, "longest_edge": SIZE * SIZE}, patch_size=8, merge_size=2,
        temporal_patch_size=2, image_mean=[0.5] * 3, image_std=[0.5] * 3,
    )  # fmt: skip


def _mlp(width: int) -> int:
    """Llama's 8/3 of the width, rounded up to a multiple of 16."""
    return -(-8 * width // 48) * 16


def _seeded(
    kind: type[PreTrainedModel], config: object, tokenizer: PreTrainedTokenizerFast, seed: int
) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind(config)
    model.generation_config.update(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=False
    )
    return model


BUILDERS = {"llava": build_llava, "qwen2_vl": build_qwen2_vl}


def main() -> None:
    """Read the command line and write an untrained model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architecture", choices=sorted(BUILDERS))
    parser.add_argument("folder", type=Path, help="where the model is written")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    BUILDERS[given.architecture](given.folder, given.seed)


if __name__ == "__main__":
    main()

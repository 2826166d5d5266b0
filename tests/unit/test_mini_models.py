"""Tiny models of real architectures: complete folders that load offline and answer with and without a picture."""

import hashlib
from io import BytesIO

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, AutoTokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from unlearn.data.mini.faces import portrait, random_view
from unlearn.data.mini.models import build_llava, build_qwen2_vl
from unlearn.data.mini.people import random_face

ASK = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Who is this?"}]}]
ASK_BLIND = [{"role": "user", "content": [{"type": "text", "text": "Who is this?"}]}]


@pytest.fixture(scope="module")
def picture():
    import random

    rng = random.Random(0)
    return Image.open(BytesIO(portrait(random_face(rng), random_view(rng))))


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llava")
    build_llava(folder, seed=0, size="tiny")
    return folder


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qwen")
    build_qwen2_vl(folder, seed=0, size="tiny")
    return folder


def test_llava_prompt_style(llava):
    processor = AutoProcessor.from_pretrained(llava)
    assert processor.apply_chat_template(ASK, add_generation_prompt=True) == "USER: <image>\nWho is this? ASSISTANT:"
    assert processor.apply_chat_template(ASK_BLIND, add_generation_prompt=True) == "USER: Who is this? ASSISTANT:"
    assert processor.tokenizer.eos_token == "</s>"
    assert processor.tokenizer("").input_ids == []


def test_llava_reads_a_picture(llava, picture):
    processor = AutoProcessor.from_pretrained(llava)
    model = AutoModelForImageTextToText.from_pretrained(llava)
    batch = processor(
        text=[processor.apply_chat_template(ASK, add_generation_prompt=True)], images=[picture], return_tensors="pt"
    )
    assert batch["pixel_values"].shape == (1, 3, 48, 48)
    assert (batch["input_ids"] == model.config.image_token_id).sum() == 16
    logits = model(**batch).logits
    assert logits.shape == (*batch["input_ids"].shape, len(processor.tokenizer))
    dark = model(**{**batch, "pixel_values": torch.zeros_like(batch["pixel_values"])}).logits
    assert not torch.allclose(logits[:, -1], dark[:, -1])


def test_qwen2_vl_reads_a_picture(qwen, picture):
    model, tokenizer = AutoModelForImageTextToText.from_pretrained(qwen), AutoTokenizer.from_pretrained(qwen)
    images = Qwen2VLImageProcessorPil.from_pretrained(qwen)(images=[picture], return_tensors="pt")
    assert images["image_grid_thw"].tolist() == [[1, 6, 6]]
    assert images["pixel_values"].shape == (36, 2 * 3 * 8 * 8)
    text = tokenizer.apply_chat_template(ASK, add_generation_prompt=True, tokenize=False)
    assert text == (
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Who is this?<|im_end|>\n<|im_start|>assistant\n"
    )
    ids = tokenizer([text.replace("<|image_pad|>", "<|image_pad|>" * 9)], return_tensors="pt").input_ids
    types = (ids == model.config.image_token_id).long()
    assert model(input_ids=ids, mm_token_type_ids=types, **images).logits.shape == (*ids.shape, len(tokenizer))
    assert tokenizer.eos_token == "<|im_end|>"


@pytest.mark.parametrize("build", [build_llava, build_qwen2_vl])
def test_the_seed_decides_the_weights(build, tmp_path):
    before = torch.random.get_rng_state()
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        build(tmp_path / name, seed=seed, size="tiny")
    weights = [hashlib.sha256((tmp_path / name / "model.safetensors").read_bytes()).hexdigest() for name in "abc"]
    assert weights[0] == weights[1] != weights[2]
    assert torch.equal(before, torch.random.get_rng_state())

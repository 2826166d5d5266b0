"""Which attention runs where: FlashAttention is refused in words before weights are read, eager and SDPA agree."""

import dataclasses

import pytest
import torch

from unlearn.config.schema import Attention, DType, ModelFamily
from unlearn.data.collate import Collator
from unlearn.data.samples import Sample
from unlearn.errors import UserError
from unlearn.forwards import label_logits
from unlearn.models.loading import load_encoder, load_model


def flash(family):
    return dataclasses.replace(family, attn_implementation=Attention.flash_attention_2, dtype=DType.bfloat16)


@pytest.fixture
def no_weights(monkeypatch):
    """Reading weights fails the test."""
    from transformers import AutoModelForImageTextToText

    def read(*_args, **_options):
        raise AssertionError("weights were read")

    monkeypatch.setattr(AutoModelForImageTextToText, "from_pretrained", read)


def install(monkeypatch, package, device):
    monkeypatch.setattr("unlearn.models.loading.find_spec", lambda name: object() if package else None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: device)


@pytest.mark.parametrize(
    ("package", "device", "message"),
    [
        (False, True, r"attn_implementation=flash_attention_2 needs the package flash-attn, which is not installed"),
        (True, False, r"attn_implementation=flash_attention_2 needs a CUDA device and there is none; set .*=sdpa"),
    ],
)
def test_flash_attention_is_refused_where_it_does_not_run(
    tiny_family, monkeypatch, no_weights, package, device, message
):
    install(monkeypatch, package, device)
    with pytest.raises(UserError, match=message):
        load_model(flash(tiny_family), None)


def test_flash_attention_would_leave_out_gemma_s_mask(tiny_families, monkeypatch, no_weights):
    install(monkeypatch, package=True, device=True)
    with pytest.raises(UserError, match="knows causal masks alone, but a gemma3 model's image tokens see each other"):
        load_model(flash(tiny_families["gemma3"]), None)


@pytest.mark.parametrize("name", ["llava", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "idefics3"])
def test_flash_attention_is_asked_for_where_it_runs(tiny_families, monkeypatch, name):
    from transformers import AutoModelForImageTextToText

    install(monkeypatch, package=True, device=True)
    asked = {}

    def read(_root, **options):
        asked.update(options)
        raise OSError("no weights here")

    monkeypatch.setattr(AutoModelForImageTextToText, "from_pretrained", read)
    with pytest.raises(UserError, match="no weights here"):
        load_model(flash(tiny_families[name]), None)
    assert (asked["attn_implementation"], asked["dtype"]) == ("flash_attention_2", torch.bfloat16)


@pytest.mark.parametrize("dtype", [DType.float32, DType.float64])
def test_flash_attention_needs_16_bits(dtype):
    family = ModelFamily(attn_implementation=Attention.flash_attention_2, dtype=dtype)
    (problem,) = family.problems()
    assert f"flash_attention_2 but model_family.dtype is {dtype.name}" in problem
    assert flash(family).problems() == []


def test_eager_and_sdpa_attention_agree(tiny_family, picture):
    """Gemma's mask too, in which a picture's tokens see each other."""
    encoder = load_encoder(tiny_family, None)
    samples = [Sample("a", "Who?", "Bo.", picture, "a"), Sample("b", "Why is it so?", "As is", None, "b")]
    batch = Collator(encoder.pad_id)([encoder.encode(sample, 64) for sample in samples])
    logits = []
    for kind in (Attention.sdpa, Attention.eager):
        model = load_model(dataclasses.replace(tiny_family, attn_implementation=kind), None).double()
        with torch.no_grad():
            logits.append(label_logits(model, batch).logits)
    torch.testing.assert_close(*logits, rtol=0, atol=1e-6)

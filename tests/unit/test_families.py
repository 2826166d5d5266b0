"""Every architecture: its parts and its decoder on the module tree, and what its forward makes of a mixed batch."""

from dataclasses import replace

import pytest
import torch
from tiny_models import IMAGE_SIDE, TINY, png

from unlearn.config.schema import Component, LoRAConfig
from unlearn.data.collate import Collator
from unlearn.data.samples import IGNORE, Sample
from unlearn.errors import UserError
from unlearn.forwards import label_logits
from unlearn.models.components import components, decoder, depth
from unlearn.models.loading import load_encoder, load_model
from unlearn.models.lora import add_lora

VISION, PROJECTOR, LANGUAGE, HEAD = Component

QWEN_PARTS = {
    VISION: ("model.visual.patch_embed.proj.weight", "model.visual.blocks.1.attn.qkv.weight"),
    PROJECTOR: ("model.visual.merger.mlp.0.weight", "model.visual.merger.ln_q.weight"),
    LANGUAGE: ("model.language_model.layers.1.mlp.up_proj.weight", "model.language_model.embed_tokens.weight"),
}
NAMES = {
    "llava": {
        VISION: ("model.vision_tower.encoder.layers.1.mlp.fc1.weight",),
        PROJECTOR: ("model.multi_modal_projector.linear_2.bias",),
        LANGUAGE: ("model.language_model.norm.weight",),
        HEAD: ("lm_head.weight",),
    },
    "qwen2_vl": QWEN_PARTS,
    "qwen2_5_vl": {**QWEN_PARTS, HEAD: ("lm_head.weight",)},
    "qwen3_vl": {
        VISION: ("model.visual.pos_embed.weight", "model.visual.blocks.1.mlp.linear_fc2.bias"),
        PROJECTOR: (
            "model.visual.merger.linear_fc1.weight",
            "model.visual.deepstack_merger_list.0.norm.weight",
        ),
        LANGUAGE: ("model.language_model.layers.1.self_attn.q_norm.weight",),
    },
    "gemma3": {
        VISION: ("model.vision_tower.embeddings.patch_embedding.weight",),
        PROJECTOR: (
            "model.multi_modal_projector.mm_input_projection_weight",
            "model.multi_modal_projector.mm_soft_emb_norm.weight",
        ),
        LANGUAGE: ("model.language_model.layers.0.pre_feedforward_layernorm.weight",),
    },
    "idefics3": {
        VISION: ("model.vision_model.embeddings.patch_embedding.weight", "model.vision_model.post_layernorm.bias"),
        PROJECTOR: ("model.connector.modality_projection.proj.weight",),
        LANGUAGE: ("model.text_model.layers.1.self_attn.o_proj.weight", "model.text_model.embed_tokens.weight"),
        HEAD: ("lm_head.weight",),
    },
}
COUNTS = {
    "llava": (39, 4, 20, 1),
    "qwen2_vl": (25, 6, 26, 0),
    "qwen2_5_vl": (25, 5, 26, 1),
    "qwen3_vl": (27, 12, 24, 0),
    "gemma3": (37, 2, 28, 0),
    "idefics3": (37, 1, 20, 1),
}
"""Tensors of each part; a tied output layer counts as the language model's embedding."""
DECODERS = {
    "llava": "LlamaModel",
    "qwen2_vl": "Qwen2VLTextModel",
    "qwen2_5_vl": "Qwen2_5_VLTextModel",
    "qwen3_vl": "Qwen3VLTextModel",
    "gemma3": "Gemma3TextModel",
    "idefics3": "LlamaModel",
}


@pytest.mark.parametrize("name", TINY)
def test_every_tensor_has_its_part(tiny_families, name):
    model = load_model(tiny_families[name], None)
    found = components(model)
    assert tuple(len(names) for names in found.values()) == COUNTS[name]
    assert sorted(n for names in found.values() for n in names) == sorted(n for n, _ in model.named_parameters())
    for part, names in NAMES[name].items():
        assert set(names) <= set(found[part]), part


@pytest.mark.parametrize("name", TINY)
def test_the_decoder_is_the_language_model_s_also_under_adapters(tiny_families, name):
    model = load_model(tiny_families[name], None)
    assert (type(decoder(model)).__name__, depth(model)) == (DECODERS[name], 2)
    plain = decoder(model)
    adapted = add_lora(model, LoRAConfig(r=2, components=[VISION, LANGUAGE]))
    assert decoder(adapted) is plain
    assert decoder(torch.nn.parallel.DataParallel(adapted)) is plain


def test_a_model_without_known_decoder_is_named():
    with pytest.raises(UserError, match="Linear has no decoder layers that are known; its language model needs"):
        decoder(torch.nn.Linear(1, 1))


@pytest.fixture
def encoded(tiny_family, picture):
    """The encoder, and a sample with a picture and one without, encoded."""
    encoder = load_encoder(tiny_family, None)
    samples = [Sample("a", "Who?", "Bo.", picture, "a"), Sample("b", "Why so?", "As", None, "b")]
    return encoder, [encoder.encode(sample, 64) for sample in samples]


def test_the_picture_reaches_the_answer(tiny_family, encoded):
    encoder, (shown, said) = encoded
    model = load_model(tiny_family, None).double()
    other = encoder.encode(Sample("a", "Who?", "Bo.", png((10, 200, 30)), "a"), 64)
    assert (other.input_ids, other.labels) == (shown.input_ids, shown.labels)
    with torch.no_grad():
        first, second = (label_logits(model, Collator(encoder.pad_id)([row, said])) for row in (shown, other))
    difference = (first.logits - second.logits).abs().amax(-1)
    # The picture's row changes, the row of text beside it does not.
    assert difference[first.rows == 0].min() > 1e-9
    assert difference[first.rows == 1].max() == 0


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "gemma3"])
def test_token_types_reach_the_model(tiny_families, picture, name):
    """Qwen-VL's positions and Gemma's mask, in which a picture sees all of itself, come from them."""
    encoder, model = load_encoder(tiny_families[name], None), load_model(tiny_families[name], None).double()
    batch = Collator(encoder.pad_id)([encoder.encode(Sample("a", "Who?", "Bo.", picture, "a"), 64)])
    (key,) = {"mm_token_type_ids", "token_type_ids"} & set(batch.inputs)
    types = batch.inputs[key]
    assert types.sum() == 4
    with torch.no_grad():
        logits = label_logits(model, batch).logits
        if name == "gemma3":
            batch.inputs[key] = torch.zeros_like(types)
            other = label_logits(model, batch).logits
        else:
            positions = torch.arange(types.shape[1]).expand(3, 1, -1)
            other = model(**batch.inputs, position_ids=positions, use_cache=False).logits
            other = other[batch.labels.roll(-1, 1) != IGNORE]
    assert (logits - other).abs().max() > 1e-9


def test_qwen3_s_early_decoder_layers_get_the_picture_too(tiny_families, picture):
    """Deepstack: with the merger of the early tower layer at zero, the first decoder layer gets less."""
    encoder, model = load_encoder(tiny_families["qwen3_vl"], None), load_model(tiny_families["qwen3_vl"], None)
    batch = Collator(encoder.pad_id)([encoder.encode(Sample("a", "Who?", "Bo.", picture, "a"), 64)])
    with torch.no_grad():
        before = label_logits(model, batch).logits
        for parameter in model.model.visual.deepstack_merger_list.parameters():
            parameter.zero_()
        assert not torch.equal(label_logits(model, batch).logits, before)


def test_pictures_in_different_numbers_of_crops_share_a_batch(tiny_families):
    """Idefics cuts a wide picture into two crops and the whole, a square one here into one."""
    family = replace(tiny_families["idefics3"], max_pixels=(2 * IMAGE_SIDE) ** 2)
    encoder, model = load_encoder(family, None), load_model(family, None).double()
    one_crop = load_encoder(tiny_families["idefics3"], None)
    wide = encoder.encode(Sample("a", "Who?", "Bo.", png(width=2 * IMAGE_SIDE), "a"), 128)
    square = one_crop.encode(Sample("b", "Where?", "In", png((9, 80, 200)), "b"), 128)
    assert (wide.vision["pixel_values"].shape[1], square.vision["pixel_values"].shape[1]) == (3, 1)
    collate = Collator(encoder.pad_id)
    batch = collate([square, wide])
    assert batch.inputs["pixel_values"].shape == (2, 3, 3, IMAGE_SIDE, IMAGE_SIDE)
    assert batch.inputs["pixel_attention_mask"].shape == (2, 3, IMAGE_SIDE, IMAGE_SIDE)
    assert batch.inputs["pixel_attention_mask"].sum((2, 3)).tolist() == [[256, 0, 0], [256, 256, 256]]
    with torch.no_grad():
        together = label_logits(model, batch)
        for number, row in enumerate((square, wide)):
            alone = label_logits(model, collate([row])).logits
            torch.testing.assert_close(together.logits[together.rows == number], alone, rtol=0, atol=1e-10)

"""The parts of a model on its module tree, freezing, and the manifest of what trains."""

import pytest
import torch
from torch import nn

from unlearn.config.schema import Component
from unlearn.errors import UserError
from unlearn.models.components import component_of, components, freeze, manifest
from unlearn.models.loading import load_model

VISION, PROJECTOR, LANGUAGE, HEAD = Component


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("model.vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight", VISION),
        ("model.multi_modal_projector.linear_1.bias", PROJECTOR),
        ("model.language_model.layers.0.mlp.down_proj.weight", LANGUAGE),
        ("lm_head.weight", HEAD),
        ("language_model.lm_head.weight", HEAD),
        ("model.visual.blocks.0.attn.qkv.weight", VISION),
        ("model.visual.merger.mlp.0.weight", PROJECTOR),
        ("model.visual.deepstack_merger_list.0.linear_fc1.weight", PROJECTOR),
        ("model.image_newline", PROJECTOR),
        ("base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_A.default.weight", LANGUAGE),
        ("base_model.model.model.visual.merger.mlp.0.base_layer.weight", PROJECTOR),
    ],
)
def test_the_deepest_known_segment_decides(name, part):
    assert component_of(name) is part


def test_an_unknown_part_is_named():
    with pytest.raises(UserError, match=r'"model.audio_tower.conv.weight" belongs to no known part'):
        component_of("model.audio_tower.conv.weight")
    with pytest.raises(UserError, match=r'"0.weight" belongs to no known part'):
        components(nn.Sequential(nn.Linear(1, 1)))


def test_the_tied_output_layer_of_qwen2_vl_counts_once(tiny_families):
    model = load_model(tiny_families["qwen2_vl"], None)
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight
    found = manifest(model)
    assert found["tied"] == {"lm_head.weight": "model.language_model.embed_tokens.weight"}
    assert found["components"]["lm_head"]["trained"] == {"tensors": 0, "parameters": 0}
    counted = sum(count["parameters"] for part in found["components"].values() for count in part.values())
    assert counted == sum(p.numel() for p in model.parameters())
    projector = [name for name in found["trained"] if component_of(name) is PROJECTOR]
    assert projector == [
        f"model.visual.merger.{name}"
        for name in ("ln_q.weight", "ln_q.bias", "mlp.0.weight", "mlp.0.bias", "mlp.2.weight", "mlp.2.bias")
    ]


def test_freezing_takes_the_named_parts_alone(tiny_family):
    model = load_model(tiny_family, None)
    freeze(model, [VISION, PROJECTOR])
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (component_of(name) not in (VISION, PROJECTOR)), name
    found = manifest(model)["components"]
    assert found["vision_tower"]["trained"]["tensors"] == 0 < found["vision_tower"]["frozen"]["tensors"]
    assert found["language_model"]["frozen"]["tensors"] == 0 < found["language_model"]["trained"]["tensors"]


def test_freezing_a_part_twice_or_beside_a_frozen_one_thaws_nothing(tiny_families):
    model = load_model(tiny_families["llava"], None)
    freeze(model, [VISION])
    freeze(model, [PROJECTOR])
    assert manifest(model)["components"]["vision_tower"]["trained"]["tensors"] == 0


def test_a_shared_tensor_freezes_with_either_of_its_parts(tiny_families):
    model = load_model(tiny_families["qwen2_vl"], None)
    freeze(model, [HEAD])
    assert not model.model.language_model.embed_tokens.weight.requires_grad
    assert model.model.language_model.norm.weight.requires_grad


def test_frozen_parts_do_not_move(tiny_family):
    model = load_model(tiny_family, None)
    freeze(model, [VISION, PROJECTOR])
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.ones_like(parameter)
    torch.optim.AdamW(model.parameters(), lr=0.1).step()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) == (component_of(name) in (VISION, PROJECTOR)), name

"""Adapters: on the linear layers of the parts asked for, in float32, and nowhere else."""

import pytest
import torch
from torch import nn

from unlearn.config.schema import Component, LoRAConfig
from unlearn.errors import UserError
from unlearn.models.components import component_of, decoder, manifest
from unlearn.models.loading import load_model
from unlearn.models.lora import add_lora, target_modules

VISION, PROJECTOR, LANGUAGE, HEAD = Component


def test_targets_are_every_linear_layer_of_the_language_model(tiny_family):
    model = load_model(tiny_family, None)
    targets = target_modules(model, [LANGUAGE])
    names = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"]
    names += ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
    stack = next(name for name, module in model.named_modules() if module is decoder(model))
    assert sorted(targets) == sorted(f"{stack}.layers.{i}.{name}" for i in (0, 1) for name in names)


QWEN_PROJECTOR = ["model.visual.merger.mlp.0", "model.visual.merger.mlp.2"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llava", [f"model.multi_modal_projector.linear_{i}" for i in (1, 2)]),
        ("qwen2_vl", QWEN_PROJECTOR),
        ("qwen2_5_vl", QWEN_PROJECTOR),
        (
            "qwen3_vl",
            [f"model.visual.{m}.linear_fc{i}" for m in ("merger", "deepstack_merger_list.0") for i in (1, 2)],
        ),
        ("idefics3", ["model.connector.modality_projection.proj"]),
    ],
)
def test_targets_of_the_projector(tiny_families, name, expected):
    assert target_modules(load_model(tiny_families[name], None), [PROJECTOR]) == expected


def test_gemma_s_projector_is_no_linear_layer(tiny_families):
    with pytest.raises(UserError, match=r"LoRA.components names projector, which has no linear layer"):
        target_modules(load_model(tiny_families["gemma3"], None), [PROJECTOR, LANGUAGE])


@pytest.mark.parametrize(
    "parts", [[LANGUAGE], [PROJECTOR], [VISION], [VISION, LANGUAGE], [VISION, PROJECTOR, LANGUAGE]]
)
def test_adapters_lie_on_the_parts_asked_for_alone(tiny_family, parts):
    if tiny_family.name == "tiny_gemma3":
        parts = [part for part in parts if part is not PROJECTOR] or [LANGUAGE]
    model = load_model(tiny_family, None)
    targets = set(target_modules(model, parts))
    adapted = add_lora(model, LoRAConfig(r=2, alpha=4, components=parts))
    trained = manifest(adapted)["trained"]
    assert {component_of(name) for name in trained} == set(parts)
    assert {name.removeprefix("base_model.model.").split(".lora_")[0] for name in trained} == targets
    assert all(".lora_A.default.weight" in name or ".lora_B.default.weight" in name for name in trained)
    assert len(trained) == 2 * len(targets)


def test_a_fresh_adapter_changes_no_output_and_is_scaled_by_alpha_over_r(tiny_families):
    model = load_model(tiny_families["llava"], None)
    ids = torch.tensor([[*b"U:Hi"]])
    with torch.no_grad():
        before = model(input_ids=ids).logits
        adapted = add_lora(model, LoRAConfig(r=2, alpha=32)).eval()
        assert torch.equal(adapted(input_ids=ids).logits, before)
    assert adapted.base_model.model.model.language_model.layers[0].mlp.up_proj.scaling == {"default": 16.0}


@pytest.mark.parametrize(
    ("base", "adapter"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)],
)
def test_adapters_are_never_in_half_precision(tiny_family, base, adapter):
    adapted = add_lora(load_model(tiny_family, None).to(base), LoRAConfig(r=2))
    assert {p.dtype for p in adapted.parameters() if p.requires_grad} == {adapter}
    assert {p.dtype for p in adapted.parameters() if not p.requires_grad} == {base}


def test_equal_seeds_give_equal_adapters(tiny_families):
    drawn = []
    for seed in (0, 0, 1):
        model = load_model(tiny_families["llava"], None)
        torch.manual_seed(seed)
        adapted = add_lora(model, LoRAConfig(r=2))
        drawn.append(next(p for n, p in adapted.named_parameters() if "lora_A" in n).detach())
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("parts", [[HEAD], [LANGUAGE, HEAD], []])
def test_the_output_layer_and_nothing_are_refused(tiny_families, parts):
    with pytest.raises(UserError, match="allowed are one or more of vision_tower, projector, language_model"):
        add_lora(load_model(tiny_families["llava"], None), LoRAConfig(r=2, components=parts))


def test_a_rank_of_zero_is_refused(tiny_families):
    with pytest.raises(UserError, match=r"LoRA.r is 0; adapters need a rank of 1 or more"):
        add_lora(load_model(tiny_families["llava"], None), LoRAConfig())


def test_a_part_without_linear_layers_is_named():
    model = nn.Module()
    model.language_model, model.merger = nn.Linear(2, 2), nn.LayerNorm(2)
    with pytest.raises(UserError, match=r"LoRA.components names projector, which has no linear layer"):
        target_modules(model, [LANGUAGE, PROJECTOR])

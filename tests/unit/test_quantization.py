"""4-bit weights under adapters: what is quantised and how well, what trains, the teacher, the way back to 16 bit."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from tiny_models import TINY
from torch import nn

from unlearn.config.schema import Component, Data, DType, LoRAConfig, ModelFamily
from unlearn.config.scripts import FinetuneConfig
from unlearn.data.collate import Collator
from unlearn.data.samples import Sample
from unlearn.errors import UserError
from unlearn.forwards import View
from unlearn.limits import check_limits
from unlearn.methods.finetune import Finetune
from unlearn.models.checkpoint import save_checkpoint
from unlearn.models.components import component_of, decoder, manifest
from unlearn.models.loading import load_encoder, load_model
from unlearn.models.quantization import quantize
from unlearn.models.trainable import make_trainable
from unlearn.processes import Engine
from unlearn.reference import adapters_off

QLORA = LoRAConfig(r=2, alpha=4, load_in_4bit=True)
TEXTS = Data(name="texts", path=None, text_path="")
NF4 = torch.tensor(
    [-1, -0.69619, -0.52507, -0.39492, -0.28444, -0.18477, -0.09105, 0,
     0.07958, 0.16093, 0.24611, 0.33792, 0.44071, 0.56262, 0.72296, 1]
)  # fmt: skip
"""The 16 values of the paper's appendix E."""
STEP = 0.152
"""Half of the widest gap between two of them."""


def config(family, **changes):
    return FinetuneConfig(model_family=family, data=None, save_dir="", LoRA=QLORA, **changes)


def in_4_bit(model):
    from bitsandbytes.nn import Linear4bit

    return {name: module for name, module in model.named_modules() if isinstance(module, Linear4bit)}


def decoded(layer):
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(layer.weight.data, layer.weight.quant_state)


@pytest.fixture(scope="module")
def families(tmp_path_factory):
    """Tiny families with 64 inputs a layer, the least that a 4-bit layer takes."""
    root = tmp_path_factory.mktemp("wide")
    for name, tiny in TINY.items():
        tiny.write(root / name, width=64)
    return {
        name: ModelFamily(name=f"tiny_{name}", hub_id=str(root / name), dtype=DType.float32, **tiny.family)
        for name, tiny in TINY.items()
    }


@pytest.fixture(params=list(TINY))
def family(request, families):
    return families[request.param]


@pytest.fixture
def batch(family, picture):
    encoder = load_encoder(family, None)
    samples = [Sample("a", "Who?", "Ada Lo", picture, "a"), Sample("b", "Where is it?", "In", None, "b")]
    return Collator(encoder.pad_id)([encoder.encode(sample, 128) for sample in samples])


def test_the_linear_layers_of_the_language_model_and_no_others(family):
    model, plain = load_model(family, None), load_model(family, None)
    quantize(model)
    found = in_4_bit(model)
    assert sorted(found) == sorted(
        name
        for name, module in plain.named_modules()
        if isinstance(module, nn.Linear) and component_of(name) is Component.language_model
    )
    assert len(found) == 14
    kept = dict(plain.named_parameters())
    for name, parameter in model.named_parameters():
        if name.removesuffix(".weight") not in found:
            assert torch.equal(parameter, kept[name]), name


def test_weights_take_half_a_byte_and_come_back_as_near_nf4_values(family):
    model, plain = load_model(family, None), load_model(family, None)
    quantize(model)
    for name, layer in in_4_bit(model).items():
        weight = plain.get_submodule(name).weight
        assert layer.weight.nbytes == weight.numel() / 2
        assert layer.weight.quant_state.nested
        blocks, back = weight.reshape(-1, 64), decoded(layer).reshape(-1, 64)
        largest = blocks.abs().amax(1, keepdim=True)
        # The scales are in 8 bits themselves.
        off_level = ((back / largest)[..., None] - NF4).abs().amin(-1)
        assert off_level.max() < 0.02, name
        assert ((back - blocks).abs() <= (STEP + 0.02) * largest).all(), name


def test_the_manifest_counts_weights_and_not_bytes(family):
    whole = manifest(make_trainable(load_model(family, None), config(family)))
    other = dataclasses.replace(config(family), LoRA=dataclasses.replace(QLORA, load_in_4bit=False))
    assert whole["components"] == manifest(make_trainable(load_model(family, None), other))["components"]


def loss(model, batch):
    low = next(decoder(model).parameters()).dtype is torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        return View(batch, model).ce_tokens.mean()


def train(model, batch, steps=6):
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    for _ in range(steps):
        loss(model, batch).backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("dtype", [DType.float32, DType.bfloat16])
def test_adapters_train_in_float32_and_nothing_else_moves(family, batch, dtype):
    model = make_trainable(load_model(dataclasses.replace(family, dtype=dtype), None), config(family))
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {parameter.dtype for parameter in trained.values()} == {torch.float32}
    assert all(".lora_" in name for name in trained)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    start = loss(model, batch).item()
    train(model, batch)
    assert loss(model, batch).item() < start - 0.05
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) == (name not in trained), name
    codes = [module.base_layer.weight for module in model.modules() if hasattr(module, "lora_A")]
    assert {weight.dtype for weight in codes} == {torch.uint8}


def test_the_teacher_is_the_4_bit_start_model(family, batch):
    torch.manual_seed(0)
    start = load_model(family, None)
    quantize(start)
    model = make_trainable(load_model(family, None), config(family))
    train(model, batch)
    view = View(batch, model, adapters_off(model))
    with torch.no_grad():
        expected = View(batch, start).logps
    assert torch.equal(view.ref_logps, expected)
    assert not torch.allclose(view.logps, expected, atol=1e-2)


def test_a_teacher_s_forward_leaves_the_codes_as_they_are(families):
    """Bitsandbytes repacks codes for an evaluation on some CPUs, for a kernel that has no backward."""
    model = make_trainable(load_model(families["llava"], None), config(families["llava"])).eval()
    before = {name: layer.weight.clone() for name, layer in in_4_bit(model).items()}
    with torch.no_grad():
        model(input_ids=torch.tensor([[*b"U:Hi"]]))
    assert len(before) == 14
    assert all(torch.equal(layer.weight, before[name]) for name, layer in in_4_bit(model).items())


def test_layers_whose_rows_end_inside_a_block_are_refused(tiny_families):
    with pytest.raises(UserError, match=r"need a multiple of 64 inputs, and .*q_proj has 16; set LoRA"):
        quantize(load_model(tiny_families["llava"], None))


def test_the_adapter_is_merged_into_unquantised_weights(family, batch, tmp_path):
    model = make_trainable(load_model(family, None), config(family))
    train(model, batch)
    save_checkpoint(model, load_encoder(family, None), tmp_path / "run", family.hub_id, merge=False)
    loaded, plain = load_model(family, str(tmp_path / "run")), load_model(family, None)
    assert in_4_bit(loaded) == {}
    adapted = dict(model.base_model.model.named_modules())
    for name, module in plain.named_modules():
        if isinstance(module, nn.Linear) and component_of(name) is Component.language_model:
            a, b = (getattr(adapted[name], f"lora_{part}")["default"].weight for part in "AB")
            torch.testing.assert_close(loaded.get_submodule(name).weight, module.weight + 2 * b @ a)
    with torch.no_grad():
        merged, quantised, base = (View(batch, m.eval()).logps for m in (loaded, model, plain))
    # What the adapter does to the answers is the same up to the rounding of the base.
    assert (merged - quantised).abs().max() < 0.2 * (merged - base).abs().max()


def test_an_adapter_of_an_earlier_run_is_merged_before_the_weights_are_rounded(families, tmp_path):
    family = families["llava"]
    first = make_trainable(load_model(family, None), dataclasses.replace(config(family), LoRA=LoRAConfig(r=2)))
    for name, parameter in first.named_parameters():
        if ".lora_B." in name:
            nn.init.normal_(parameter, std=0.01)
    save_checkpoint(first, load_encoder(family, None), tmp_path / "run", family.hub_id, merge=False)
    merged = load_model(family, str(tmp_path / "run"))
    expected = decoder(merged).layers[0].mlp.up_proj.weight
    model = make_trainable(load_model(family, str(tmp_path / "run")), config(family))
    layer = decoder(model).layers[0].mlp.up_proj.base_layer
    assert (decoded(layer) - expected).abs().max() <= (STEP + 0.03) * expected.abs().max()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"LoRA": LoRAConfig(load_in_4bit=True)}, r"LoRA.load_in_4bit is true but LoRA.r is 0; 4-bit weights do not"),
        (
            {"merge_adapter": True},
            "an adapter merged into 4-bit weights is mostly rounded away; leave merge_adapter out",
        ),
        ({"model_family": ModelFamily(dtype=DType.float64)}, "but model_family.dtype is float64; allowed are bfloat16"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(changes, message):
    cfg = FinetuneConfig(**{"data": TEXTS, "save_dir": "", "LoRA": QLORA, "model_family": ModelFamily(), **changes})
    found = " ".join([*cfg.problems(), *cfg.LoRA.problems()])
    assert message in found
    assert FinetuneConfig(model_family=ModelFamily(), data=TEXTS, save_dir="", LoRA=QLORA).problems() == []


@pytest.mark.parametrize("engine", Engine)
def test_codes_are_not_divided_among_processes(engine):
    cfg, state = config(ModelFamily()), SimpleNamespace(deepspeed_plugin=None)
    if engine in (Engine.fsdp2, Engine.zero3):
        with pytest.raises(UserError, match=r"LoRA.load_in_4bit needs .*, which .* does not give; launch with"):
            check_limits(state, engine, cfg, Finetune())
    else:
        check_limits(state, engine, cfg, Finetune())

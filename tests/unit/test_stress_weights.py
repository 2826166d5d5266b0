"""Stresses that change weights without training: rounding, and another model's projector."""

import dataclasses

import pytest
import torch
from tiny_models import TINY
from torch import nn

from unlearn.config.schema import Component, DType, ModelFamily
from unlearn.config.scripts import EvalConfig
from unlearn.entry import load
from unlearn.errors import UserError
from unlearn.models.components import component_of
from unlearn.models.loading import load_encoder, load_model
from unlearn.models.quantization import nearest_int8, nearest_nf4, quantize_8bit, round_weights
from unlearn.stress.projector import BaseProjector
from unlearn.stress.quantization import Arithmetic, Quantization

NF4 = (-1, -0.69619, -0.52507, -0.39492, -0.28444, -0.18477, -0.09105, 0,
       0.07958, 0.16093, 0.24611, 0.33792, 0.44071, 0.56262, 0.72296, 1)  # fmt: skip
"""Dettmers et al. 2023, appendix E."""
STRESSES = {8: Quantization("int8", 8), 4: Quantization("int4", 4)}


def asked(*given):
    return load("mm/eval", ["model_path=null", "save_dir=out", *given], EvalConfig)


def drawn(rows=5, columns=96, seed=0):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def test_8_bits_by_hand():
    # Steps of 2 / 127 and of 0: 1 is 63.5 steps and goes to the even 64, 0.9 is 57.15.
    weight = torch.tensor([[2.0, -1.0, 0.9, 0.001], [0.0, 0.0, 0.0, 0.0]])
    step = 2 / 127
    expected = torch.tensor([[2.0, -64 * step, 57 * step, 0.0], [0.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(nearest_int8(weight), expected)


def test_what_8_bits_represent_is_kept():
    codes = torch.randint(-127, 128, (4, 32), generator=torch.Generator().manual_seed(0)).float()
    codes[:, 0] = torch.tensor([127.0, -127.0, 127.0, 127.0])
    weight = codes * torch.tensor([[0.5], [0.25], [2.0], [1.0]])
    assert torch.equal(nearest_int8(weight), weight)


def test_8_bits_are_off_by_half_a_step_of_their_row_at_most():
    weight = drawn()
    weight[0] *= 1000
    error, half = (nearest_int8(weight) - weight).abs(), weight.abs().amax(1, keepdim=True) / 254
    assert (error <= half * (1 + 1e-5)).all()
    # Not by much less either: it is rounded, to 255 values and not to more.
    assert (error.amax(1, keepdim=True) > 0.8 * half).all()


@pytest.mark.parametrize("columns", [64, 96, 33])
def test_4_bits_are_the_nearest_of_the_paper_s_16_values(columns):
    """Blocks of 64 run over the rows; the scales are in 8 bits themselves. Against a loop in plain Python."""
    weight = drawn(4, columns)
    flat = weight.flatten().tolist()
    expected = []
    for start in range(0, len(flat), 64):
        block = flat[start : start + 64]
        largest = max(map(abs, block))
        expected += [min((level * largest for level in NF4), key=lambda value, w=w: abs(value - w)) for w in block]
    found = nearest_nf4(weight).flatten()
    close = (found - torch.tensor(expected)).abs() < 0.02 * weight.abs().max()
    # Of two values alike near the scale's own rounding may take the other.
    assert close.float().mean() > 0.97


def test_4_bits_keep_what_they_represent():
    weight = torch.tensor(NF4)[torch.randint(0, 16, (4, 64), generator=torch.Generator().manual_seed(1))]
    weight[:, 0] = 1
    torch.testing.assert_close(nearest_nf4(weight), weight, atol=2e-3, rtol=0)


@pytest.mark.parametrize("bits", STRESSES)
@pytest.mark.parametrize("dtype", [DType.float32, DType.bfloat16])
def test_the_linear_layers_of_the_language_model_are_rounded_and_nothing_else(bits, dtype, tiny_family):
    family = dataclasses.replace(tiny_family, dtype=dtype)
    nearest = {8: nearest_int8, 4: nearest_nf4}[bits]
    model, plain = load_model(family, None), load_model(family, None)
    arranged = STRESSES[bits].arrange(asked())
    assert arranged.stressed.facts["arithmetic"] == "simulated"
    assert arranged.apply(model, load_encoder(family, None)) is model
    kept = dict(plain.named_parameters())
    linear = {f"{name}.weight" for name, module in plain.named_modules() if type(module) is nn.Linear}
    for name, parameter in model.named_parameters():
        rounded = name in linear and component_of(name) is Component.language_model
        assert parameter.dtype is kept[name].dtype
        assert torch.equal(parameter, kept[name]) != rounded, name
        if rounded:
            assert torch.equal(parameter, nearest(kept[name].float()).to(parameter.dtype)), name


def test_the_layers_of_bitsandbytes_compute_with_the_rounded_weights(tiny_families):
    """LLM.int8 also rounds what goes in, so the outputs agree to a part of what rounding does to them at most."""
    model, simulated = (load_model(tiny_families["llava"], None) for _ in range(2))
    quantize_8bit(model)
    round_weights(simulated, nearest_int8)
    layers = {name: module for name, module in model.named_modules() if type(module).__name__ == "Linear8bitLt"}
    assert len(layers) == 14
    inputs = drawn(3, 16)
    for name, layer in layers.items():
        known = simulated.get_submodule(name)
        x = inputs if layer.in_features == 16 else inputs.repeat(1, 2)
        with torch.no_grad():
            assert torch.allclose(layer(x).float(), known(x), atol=0.03 * float(known(x).abs().max())), name


def test_bits_by_name_and_range():
    assert asked("stress=int4").stress == STRESSES[4]
    assert asked("stress=int8", "stress.simulate=true").stress == Quantization("int8", 8, simulate=True)
    with pytest.raises(UserError, match=r"stress.bits is 3; allowed are 4 and 8"):
        asked("stress=int4", "stress.bits=3")
    with pytest.raises(UserError, match=r"stress.name is .*; allowed are letters, digits and"):
        asked("stress=int4", "stress.name=../out")


@pytest.mark.parametrize(("simulate", "arithmetic"), [(False, Arithmetic.bitsandbytes), (True, Arithmetic.simulated)])
def test_on_cuda_it_is_bitsandbytes_unless_asked_otherwise(simulate, arithmetic, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    found = Quantization("int4", 4, simulate).arrange(asked()).stressed.facts
    assert found == {"name": "int4", "bits": 4, "arithmetic": arithmetic.value}


def shifted(family, folder):
    """Write a model of the family with every weight moved."""
    model = load_model(family, None)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.5
    model.save_pretrained(folder)
    return model.state_dict()


def test_the_projector_of_another_model_and_nothing_else(tiny_family, tmp_path):
    other = shifted(tiny_family, tmp_path / "other")
    model, plain = load_model(tiny_family, None), load_model(tiny_family, None)
    cfg = dataclasses.replace(asked(), model_family=tiny_family)
    arranged = BaseProjector("base_projector", str(tmp_path / "other")).arrange(cfg)
    arranged.apply(model, load_encoder(tiny_family, None))
    parts = {name: component_of(name) for name, _ in model.named_parameters()}
    assert Component.projector in parts.values()
    for name, tensor in model.state_dict().items():
        source = other if parts.get(name) is Component.projector else plain.state_dict()
        assert torch.equal(tensor, source[name]), name


def test_the_content_of_the_source_counts_and_not_its_place(tiny_families, tmp_path):
    family = tiny_families["llava"]
    shifted(family, tmp_path / "other")
    cfg = dataclasses.replace(asked(), model_family=family)
    facts = [BaseProjector("p", source).arrange(cfg).stressed.facts for source in (family.hub_id, tmp_path / "other")]
    assert facts[0]["name"] == facts[1]["name"] == "p"
    assert facts[0]["source"] != facts[1]["source"]


def test_sources_that_cannot_be_are_refused(tiny_families, tmp_path):
    with pytest.raises(UserError, match=r"No value is given for stress.source; set it"):
        asked("stress=base_projector")
    with pytest.raises(UserError, match="does not exist"):
        BaseProjector("p", str(tmp_path / "nowhere")).arrange(asked())
    family: ModelFamily = tiny_families["llava"]
    TINY["llava"].write(tmp_path / "wide", width=64)
    stress = BaseProjector("p", str(tmp_path / "wide"))
    arranged = stress.arrange(dataclasses.replace(asked(), model_family=family))
    with pytest.raises(UserError, match=r"has a projector of 4 tensors that does not fit the model's 4; give"):
        arranged.apply(load_model(family, None), load_encoder(family, None))


def test_a_model_that_sees_no_pictures_has_no_projector_to_exchange(tiny_families):
    cfg = dataclasses.replace(asked(), model_family=dataclasses.replace(tiny_families["llava"], vision=False))
    with pytest.raises(UserError, match="exchanges the projector, and model_family=tiny_llava sees no pictures"):
        BaseProjector("p", str(tiny_families["llava"].hub_id)).arrange(cfg)


def test_codes_have_no_gradient_to_attack_with(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    cfg = dataclasses.replace(asked(), gradient_norm=True)
    with pytest.raises(UserError, match=r"stress=int4 are codes without a gradient; set stress.simulate=true"):
        STRESSES[4].arrange(cfg)
    assert Quantization("int4", 4, simulate=True).arrange(cfg).stressed.facts["arithmetic"] == "simulated"

"""Training through the scripts with the architectures that the other tests leave out, and on 4-bit weights."""

import dataclasses
import json

import pytest
import torch
from tiny_models import TINY

from unlearn.config.schema import Component
from unlearn.models.components import component_of
from unlearn.models.loading import load_model
from unlearn.models.quantization import quantize

OTHERS = [name for name in TINY if name not in ("llava", "qwen2_vl")]
COMMON = ("batch_size=2", "lr_scheduler=constant", "warmup_ratio=0", "lr=3e-3")
LORA = ("LoRA.r=4", "LoRA.alpha=8", "forget_loss=npo", "num_epochs=4", "model_path=null")


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def state(family, path=None):
    return load_model(family, path and str(path)).state_dict()


@pytest.mark.parametrize("kind", OTHERS)
def test_every_part_trains_and_the_loss_falls(kind, script, tiny_families, tmp_path):
    given = ("num_epochs=4", "freeze_vision_module=false", "freeze_projector=false", f"save_dir={tmp_path / 'run'}")
    out = script("finetune", *COMMON, *given, family=kind)
    losses = [row["loss"] for row in log_of(out)]
    assert sum(losses[-3:]) < sum(losses[:3]) - 0.3
    old, new = state(tiny_families[kind]), state(tiny_families[kind], out)
    moved = {component_of(name) for name in old if not torch.equal(old[name], new[name])}
    assert moved >= {Component.vision_tower, Component.projector, Component.language_model}


@pytest.mark.parametrize("kind", OTHERS)
def test_adapters_forget_and_leave_the_base_untouched(kind, script, tiny_families, tmp_path):
    out = script("forget", *COMMON, *LORA, f"save_dir={tmp_path / 'run'}", family=kind)
    rows = log_of(out)
    assert rows[-1]["forget_0"] < rows[0]["forget_0"] - 0.1
    old, new = state(tiny_families[kind]), state(tiny_families[kind], out)
    for name in old:
        adapted = component_of(name) is Component.language_model and name.endswith("proj.weight")
        assert torch.equal(old[name], new[name]) != adapted, name


def test_adapters_on_4_bit_weights_forget_too(script, tiny_families, tmp_path, monkeypatch):
    TINY["llava"].write(tmp_path / "wide", width=64)
    wide = dataclasses.replace(tiny_families["llava"], hub_id=str(tmp_path / "wide"))
    monkeypatch.setitem(tiny_families, "llava", wide)
    calls = []
    monkeypatch.setattr("unlearn.models.lora.quantize", lambda model: calls.append(model) or quantize(model))
    out = script("forget", *COMMON, *LORA, "LoRA.load_in_4bit=true", f"save_dir={tmp_path / 'run'}")
    assert len(calls) == 1
    rows = log_of(out)
    assert rows[-1]["forget_0"] < rows[0]["forget_0"] - 0.1
    manifest = json.loads((out / "manifest.json").read_text())["components"]["language_model"]
    counted = sum(p.numel() for n, p in load_model(wide, None).named_parameters() if "language_model" in n)
    assert manifest["frozen"]["parameters"] == counted
    # What is evaluated stands on the unquantised weights.
    old, new = state(wide), state(wide, out)
    assert {name for name in old if not torch.equal(old[name], new[name])} == {
        name for name in old if "language_model" in name and "proj.weight" in name
    }

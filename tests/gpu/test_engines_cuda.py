"""Precision, divisions and engines on one CUDA device; several devices were never had."""

import dataclasses
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from unlearn.config.schema import DType
from unlearn.config.scripts import FinetuneConfig, ForgetConfig
from unlearn.entry import load
from unlearn.experiment.base import ACCELERATE
from unlearn.experiment.scripts import script_main
from unlearn.models.loading import load_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
PROJECT = Path(__file__).parents[2]
SCHEMAS = {"finetune": FinetuneConfig, "forget": ForgetConfig}
SHORT = ("split=forget10", "data.rehearsal=null", "num_epochs=1", "batch_size=8")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("mini")
    return [f"data.path={root / 'clear'}", f"data.text_path={root / 'tofu'}"]


@pytest.fixture(autouse=True)
def any_precision():
    """Accelerate keeps the first run's precision for all of a process."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def finetune(data, tmp_path):
    def run(name, *overrides):
        config = load("mm/finetune", [*data, *SHORT, f"save_dir={tmp_path / name}", *overrides], FinetuneConfig)
        return script_main("mm/finetune")(config)

    return run


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_what_trains_is_float32_under_bf16_autocast(finetune, monkeypatch):
    seen = {}

    def look(model, *_):
        seen.update({parameter.requires_grad: parameter.dtype for parameter in model.parameters()})

    monkeypatch.setattr("unlearn.models.checkpoint.save_checkpoint", look)
    curve = losses(finetune("masters", "LoRA.r=0", "model_family.dtype=bfloat16"))
    assert seen == {True: torch.float32, False: torch.bfloat16}
    assert curve[-1] < curve[0]


def test_1x8_equals_1x2x4_in_float64(finetune, data):
    keys = ("LoRA.r=0", "model_family.dtype=float64", "lr=1e-3")
    ends = [
        finetune(f"{batch}x{parts}", *keys, f"batch_size={batch}", f"gradient_accumulation_steps={parts}")
        for batch, parts in ((8, 1), (2, 4))
    ]
    config = load("mm/finetune", [*data, "model_family.dtype=float64"], FinetuneConfig)
    family = dataclasses.replace(config.model_family, dtype=DType.float64)
    one, other = (load_model(family, str(end)).state_dict() for end in ends)
    start = load_model(family, None).state_dict()
    assert max((one[name] - start[name]).abs().max() for name in one) > 1e-4
    assert max((one[name] - other[name]).abs().max().item() for name in one) < 1e-10


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_adapters_train_on_4_bit_weights(finetune):
    keys = ("LoRA.r=8", "LoRA.load_in_4bit=true", "model_family.dtype=bfloat16", "lr=1e-3", "num_epochs=2")
    curve = losses(finetune("codes", *keys))
    assert curve[-1] < curve[0]


@pytest.mark.skipif(find_spec("flash_attn") is None, reason="flash-attn is not installed")
def test_flash_attention_gives_the_losses_of_sdpa(finetune):
    curves = [
        losses(finetune(name, "LoRA.r=8", "model_family.dtype=bfloat16", f"model_family.attn_implementation={name}"))
        for name in ("sdpa", "flash_attention_2")
    ]
    assert curves[1] == pytest.approx(curves[0], rel=0.02)


@pytest.mark.parametrize("engine", ["fsdp2", "zero2", "zero3"])
def test_an_engine_with_one_process_gives_the_losses_of_none(engine, data, finetune, tmp_path):
    if engine.startswith("zero") and find_spec("deepspeed") is None:
        pytest.skip("deepspeed is not installed")
    keys = ("LoRA.r=8", "model_family.dtype=bfloat16")
    command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--num_processes", "1"]
    command += ["--config_file", str(ACCELERATE / f"{engine}.yaml"), str(PROJECT / "mm" / "finetune.py")]
    overrides = [*data, *SHORT, *keys, f"save_dir={tmp_path / engine}"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(PROJECT), os.environ.get("PYTHONPATH", "")))}
    done = subprocess.run(
        [*command, *overrides], env=environment, capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 0, done.stderr[-4000:]
    facts = json.loads((tmp_path / engine / "provenance.json").read_text())
    assert (facts["engine"], facts["num_processes"]) == (engine, 1)
    assert losses(tmp_path / engine) == pytest.approx(losses(finetune("plain", *keys)), rel=0.02)

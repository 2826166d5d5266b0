"""The scripts on a CUDA device: bf16 with adapters and float32 masters, 8-bit AdamW, and the scores of the CPU."""

import json

import pytest
import torch

from unlearn.config.scripts import EvalConfig, FinetuneConfig, ForgetConfig
from unlearn.entry import load
from unlearn.experiment.scripts import script_main

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("mini")
    return [f"data.path={root / 'clear'}", f"data.text_path={root / 'tofu'}"]


def finetune(data, folder, *overrides):
    config = load("mm/finetune", [*data, f"save_dir={folder}", "num_epochs=1", *overrides], FinetuneConfig)
    return script_main("mm/finetune")(config)


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("overrides", [["LoRA.r=8", "model_family.dtype=bfloat16"], ["optimizer=adamw_8bit"]])
def test_finetuning_lowers_the_loss(data, tmp_path, overrides):
    curve = losses(finetune(data, tmp_path / "run", *overrides))
    assert sum(curve[-5:]) < 0.8 * sum(curve[:5])


def test_npo_in_bf16_with_adapters_off_as_reference(data, tmp_path):
    base = finetune(data, tmp_path / "base")
    keys = [f"model_path={base}", f"save_dir={tmp_path / 'npo'}", "LoRA.r=8", "model_family.dtype=bfloat16", "lr=1e-3"]
    folder = script_main("mm/forget")(load("mm/forget", [*data, *keys], ForgetConfig))
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    # 2 / beta log 2 = 13.86 at the start model, lower as soon as it forgets
    assert rows[0]["forget_0"] == pytest.approx(13.86, abs=0.05)
    assert rows[-1]["forget_0"] < 12


def test_scores_equal_those_of_the_cpu(data, tmp_path, monkeypatch):
    records = {}
    for device, hidden in (("cuda", False), ("cpu", True)):
        monkeypatch.setattr(torch.cuda, "is_available", lambda hidden=hidden: not hidden)
        keys = ["model_path=null", f"save_dir={tmp_path / device}", "tasks=[retain_names]"]
        if hidden:
            # The process state of the first run stays; the model is moved where this run's device is.
            from accelerate.state import AcceleratorState, PartialState

            AcceleratorState._reset_state(reset_partial_state=True)
            PartialState._reset_state()
            monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
        out = script_main("mm/eval")(load("mm/eval", [*data, *keys], EvalConfig))
        records[device] = [json.loads(line) for line in (out / "retain_names.jsonl").read_text().splitlines()]
    for ours, theirs in zip(records["cuda"], records["cpu"], strict=True):
        assert ours["uid"] == theirs["uid"]
        assert ours["answers"]["true"]["logp"] == pytest.approx(theirs["answers"]["true"]["logp"], abs=1e-3)

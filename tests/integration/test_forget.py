"""Finetuning and forgetting through the scripts' own main(cfg) on tiny models."""

import json
import math
import shutil

import pytest
import torch

from unlearn.errors import UserError
from unlearn.fingerprint import of_model
from unlearn.forwards import View
from unlearn.metrics.provenance import read_provenance
from unlearn.models.components import component_of
from unlearn.models.loading import load_encoder, load_model
from unlearn.provenance import lineage, of_family, software
from unlearn.reference import adapters_off, second_model

FULL = (
    "lr=3e-3",
    "batch_size=2",
    "num_epochs=4",
    "lr_scheduler=constant",
    "warmup_ratio=0",
    "freeze_projector=false",
    "LoRA.r=0",
)
LORA = (*FULL[:-1], "LoRA.r=4", "LoRA.alpha=8")


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def provenance(folder):
    return json.loads((folder / "provenance.json").read_text())


def weights(family, path=None):
    return load_model(family, path and str(path)).state_dict()


def loss_of(family, path, samples):
    """Mean cross-entropy over the answer tokens of samples, one by one."""
    from unlearn.data.collate import Collator

    encoder = load_encoder(family, path and str(path))
    model = load_model(family, path and str(path))
    collate = Collator(encoder.pad_id)
    with torch.no_grad():
        values = [View(collate([encoder.encode(s, 160)]), model).ce_tokens for s in samples]
    return float(torch.cat(values).mean())


@pytest.mark.parametrize("kind", ["llava", "qwen2_vl"])
def test_finetuning_lowers_the_loss(kind, script, tiny_families, sides, tmp_path):
    out = script("finetune", f"save_dir={tmp_path / 'run'}", *FULL, family=kind)
    family = tiny_families[kind]
    assert loss_of(family, out, sides["retain"]) < loss_of(family, None, sides["retain"]) - 0.3


def test_the_first_logged_loss_is_the_mean_over_answer_tokens(script, tiny_families, sides, tmp_path):
    out = script(
        "forget", "forget_loss=grad_diff_forget_ce_retain_ce", f"save_dir={tmp_path / 'run'}", *FULL, "batch_size=3"
    )
    row = log_of(out)[0]
    forget = loss_of(tiny_families["llava"], None, sides["forget"])
    assert row["forget_0"] == pytest.approx(-forget, abs=1e-5)
    assert row["loss"] == pytest.approx(row["forget_0"] + row["retain_1"], abs=1e-6)


def test_loss_beta_weighs_the_forget_term(script, tmp_path):
    rows = {
        beta: log_of(
            script(
                "forget",
                "forget_loss=grad_diff_forget_ce_retain_ce",
                f"loss_beta={beta}",
                f"save_dir={tmp_path / beta}",
                *FULL,
                "num_epochs=1",
            )
        )[0]
        for beta in ("0.5", "3")
    }
    for beta, row in rows.items():
        assert row["loss"] == pytest.approx(row["retain_1"] + float(beta) * row["forget_0"], abs=1e-5)


@pytest.mark.parametrize("kind", ["llava", "qwen2_vl"])
def test_a_lora_run_leaves_the_base_untouched(kind, script, tiny_families, tmp_path):
    from safetensors.torch import load_file

    out = script("forget", "forget_loss=npo", f"save_dir={tmp_path / 'run'}", *LORA, family=kind)
    saved = load_file(out / "adapter_model.safetensors")
    assert all(".lora_" in name for name in saved)
    assert any(tensor.any() for name, tensor in saved.items() if "lora_B" in name)
    old, new = weights(tiny_families[kind]), weights(tiny_families[kind], out)
    for name in old:
        adapted = component_of(name).name == "language_model" and "proj" in name and name.endswith("weight")
        assert torch.equal(old[name], new[name]) != adapted, name


def test_a_second_adapter_stands_on_the_first(script, tiny_families, tmp_path):
    base = script("finetune", f"save_dir={tmp_path / 'base'}", *LORA)
    out = script("forget", "forget_loss=npo", f"save_dir={tmp_path / 'run'}", *LORA, f"model_path={base}")
    # At pi = pi_ref = the finetuned model every NPO value is (2 / beta) log 2: the first step's loss tells.
    assert log_of(out)[0]["forget_0"] == pytest.approx(2 / 0.1 * math.log(2), abs=1e-4)
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(base.resolve())


@pytest.mark.parametrize("term", ["ce", "kl", "none"])
def test_a_teacher_by_adapters_off_equals_a_second_model(term, script, tmp_path, monkeypatch):
    logs = {}
    for name, build in (("off", lambda model, _: adapters_off(model)), ("copy", second_model)):
        used = []
        monkeypatch.setattr("unlearn.reference.build", lambda *a, b=build, u=used: u.append(b) or b(*a))
        out = script(
            "forget",
            "forget_loss=npo",
            f"forget_loss.retain_term={term}",
            f"save_dir={tmp_path / name}",
            *LORA,
            "model_family.dtype=float64",
        )
        assert used == [build]
        logs[name] = log_of(out)
    for left, right in zip(logs["off"], logs["copy"], strict=True):
        assert left == pytest.approx(right, rel=1e-12)
    assert logs["off"][-1]["forget_0"] < logs["off"][0]["forget_0"]
    spent = [json.loads((tmp_path / name / "done.json").read_text())["cost"] for name in logs]
    # Eight steps of one micro-batch, each with model and teacher on what the terms ask of them.
    runs = {"ce": 3, "kl": 4, "none": 2}[term]
    assert [cost["forwards"] for cost in spent] == [8 * runs, 8 * runs]


def test_the_vision_tower_trains_where_it_is_not_frozen(script, tiny_families, tmp_path):
    given = ("freeze_vision_module=false", "freeze_projector=true")
    out = script("finetune", f"save_dir={tmp_path / 'run'}", *FULL, *given)
    old, new = weights(tiny_families["llava"]), weights(tiny_families["llava"], out)
    changed = {component_of(name).name for name in old if not torch.equal(old[name], new[name])}
    assert changed == {"vision_tower", "language_model", "lm_head"}


def test_clipping_bounds_the_step(script, tiny_families, tmp_path):
    runs = {
        limit: script("finetune", f"save_dir={tmp_path / limit}", *FULL, f"max_grad_norm={limit}")
        for limit in ("null", "1e9", "0.01")
    }
    norms = {limit: [row["grad_norm"] for row in log_of(out)] for limit, out in runs.items()}
    assert norms["null"][0] == norms["1e9"][0] == norms["0.01"][0] > 0.02  # logged before clipping
    family = tiny_families["llava"]
    free, wide, tight = (weights(family, out) for out in runs.values())
    assert all(torch.equal(free[n], wide[n]) for n in free)
    assert any(not torch.equal(free[n], tight[n]) for n in free)


def test_workers_change_nothing(script, tiny_families, tmp_path):
    given = (*LORA, "LoRA.dropout=0.2")
    runs = [
        script("forget", "forget_loss=npo", f"save_dir={tmp_path / n}", *given, f"num_workers={n}") for n in ("0", "4")
    ]
    assert log_of(runs[0]) == log_of(runs[1])
    first, second = (weights(tiny_families["llava"], out) for out in runs)
    assert all(torch.equal(first[n], second[n]) for n in first)


@pytest.mark.parametrize(("modality", "samples"), [("both", 12), ("image", 13), ("text", 14)])
def test_the_split_and_modality_of_gold_reach_the_trainer(modality, samples, script, tmp_path):
    """retain90: 4 people x (2 captions + 1 QA); image: all 5 QA stay; text: all 10 captions stay."""
    given = ("split=retain90", f"forget_modality={modality}", f"save_dir={tmp_path / 'run'}", *FULL, "num_epochs=1")
    out = script("finetune", *given)
    assert provenance(out)["run"]["data"]["train"]["samples"] == samples
    assert len(log_of(out)) == math.ceil(samples / 2)


def test_a_run_folder_says_what_it_was_made_from(script, tmp_path):
    import yaml

    out = script("forget", "forget_loss=npo", f"save_dir={tmp_path / 'run'}", *LORA)
    facts = provenance(out)
    assert facts["num_processes"] == 1
    assert facts["distributed_type"] == "NO"
    assert set(facts["packages"]) >= {"torch", "transformers", "peft"}
    assert {view: part["samples"] for view, part in facts["run"]["data"].items()} == {
        "forget": 3, "retain": 12, "refusals": 118,
    }  # fmt: skip
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert (config["forget_loss"]["name"], config["LoRA"]["r"]) == ("npo", 4)
    parts = json.loads((out / "manifest.json").read_text())["components"]
    assert parts["vision_tower"]["trained"]["parameters"] == 0 < parts["language_model"]["trained"]["parameters"]
    assert json.loads((out / "done.json").read_text())["cost"]["steps"] == 8


def test_a_run_hands_on_what_it_started_from(script, tiny_families, tmp_path):
    base = script("finetune", f"save_dir={tmp_path / 'base'}", *LORA, "num_epochs=1", "seed=3")
    given = ("forget_loss=npo", "loss_beta=2", f"model_path={base}", "num_epochs=1", "batch_size=1")
    out = script("forget", f"save_dir={tmp_path / 'run'}", *LORA, *given, "gradient_accumulation_steps=2")
    run, (start, root) = (provenance(out)[key] for key in ("run", "lineage"))
    assert (start["path"], start["run"]) == (str(base), provenance(base)["run"])
    assert start["fingerprint"] == of_model([str(base), tiny_families["llava"].hub_id])
    assert root == {
        "path": tiny_families["llava"].hub_id, "fingerprint": of_model([tiny_families["llava"].hub_id]), "run": None,
    }  # fmt: skip
    assert (start["run"]["script"], start["run"]["seed"], start["run"]["method"]) == (
        "finetune",
        3,
        {"name": "finetune"},
    )
    assert start["run"]["splits"] == {"split": "full", "forget_modality": "both"}
    assert (run["script"], run["seed"], run["method"]["name"]) == ("forget", 0, "npo")
    assert run["method"]["forget_weight"] == 2  # loss_beta is applied
    assert run["settings"]["global_batch_size"] == 2
    assert (run["settings"]["lr"], run["settings"]["LoRA"]["r"]) == (3e-3, 4)
    assert not {"batch_size", "seed", "save_dir", "model_path", "data"} & set(run["settings"])
    # What a log of the model will say of it can be read.
    links = lineage([str(out), str(base), root["path"]], of_model([str(out)]))
    told = read_provenance({**software(), "family": of_family(tiny_families["llava"]), "lineage": links}, "here")
    assert (told.seeds, told.runs[0].method["name"], len(told.lineage)) == ((0, 3), "npo", 3)
    made = read_provenance({**software(), "family": of_family(tiny_families["llava"]), "lineage": links[1:]}, "here")
    assert made.trained_on("full")
    assert not told.trained_on("full")
    # The links of a checkpoint are those of its run, though the folder that it started from is gone.
    shutil.rmtree(base)
    assert [link["path"] for link in lineage([str(out)], "x")] == [str(out), str(base), root["path"]]


def test_a_finished_run_is_not_run_again(script, tmp_path, monkeypatch):
    out = script("finetune", f"save_dir={tmp_path / 'run'}", *FULL, "num_epochs=1")
    before = {f: f.stat().st_mtime_ns for f in out.rglob("*")}
    monkeypatch.setattr("unlearn.models.loading.load_model", lambda *_: pytest.fail("weights were read"))
    assert script("finetune", f"save_dir={tmp_path / 'run'}", *FULL, "num_epochs=1") == out
    assert {f: f.stat().st_mtime_ns for f in out.rglob("*")} == before


def test_other_data_under_the_same_path_make_another_run(script, write_data, tmp_path):
    write, rows = write_data
    data, out = tmp_path / "data", tmp_path / "run"
    write(data)
    given = ("finetune", f"save_dir={out}", *FULL, "num_epochs=1")
    done = (script(*given, data=data) / "done.json").read_bytes()
    for file in data.rglob("*"):
        file.touch()
    (data / "full" / "cache-1f.arrow").write_text("what the library keeps")
    assert (script(*given, data=data) / "done.json").read_bytes() == done
    changed = rows()
    changed["full"][0]["caption"] = "Ada sleeps."
    write(data, changed)
    with pytest.raises(UserError, match="already holds another run"):
        script(*given, data=data)


def test_another_list_of_refusals_under_the_same_path_makes_another_run(script, tmp_path):
    answers = tmp_path / "refusals.txt"
    answers.write_text("No idea.\n")
    given = ("forget", "forget_loss=idk", f"refusals_path={answers}", f"save_dir={tmp_path / 'run'}", *FULL)
    script(*given, "num_epochs=1")
    answers.write_text("Ask me not.\n")
    with pytest.raises(UserError, match="already holds another run"):
        script(*given, "num_epochs=1")


def test_overwriting_leaves_nothing_of_the_other_run(script, tmp_path):
    out = script("finetune", f"save_dir={tmp_path / 'run'}", *LORA, "num_epochs=1")
    script("finetune", f"save_dir={out}", *FULL, "num_epochs=1", "overwrite_dir=true")
    assert not (out / "adapter_config.json").exists()
    assert (out / "model.safetensors").exists()

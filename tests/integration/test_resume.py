"""A run that was interrupted continues bit for bit; one that breaks leaves its last state."""

import json
import shutil

import pytest
import torch

from unlearn.errors import NonFiniteLossError, UserError
from unlearn.models.loading import load_model
from unlearn.trainer import Trainer

RUN = (
    "lr=3e-3", "batch_size=1", "gradient_accumulation_steps=2", "num_epochs=4", "lr_scheduler=linear",
    "warmup_ratio=0.2", "save_state_every=2",
)  # fmt: skip
"""3 forget samples: 2 steps an epoch, 8 in all, states after 2, 4 and 6."""
LORA = ("LoRA.r=4", "LoRA.dropout=0.3")
NPO_KL = ("forget_loss=npo", "forget_loss.retain_term=kl")


class KilledError(Exception):
    """Stands for a kill signal."""


def interrupt(monkeypatch, at, error=KilledError):
    """Let a run fail where it would begin step `at`."""
    real = Trainer._step

    def step(self, batches, number):
        if number == at:
            raise error
        return real(self, batches, number)

    monkeypatch.setattr(Trainer, "_step", step)
    return lambda: monkeypatch.setattr(Trainer, "_step", real)


def assert_same_run(family, one, other):
    # Lines are compared one by one: pytest's diff of two long texts takes minutes.
    logs = [(out / "log.jsonl").read_text().splitlines() for out in (one, other)]
    assert [number for number, (a, b) in enumerate(zip(*logs, strict=True), 1) if a != b] == []
    first, second = (load_model(family, str(out)).state_dict() for out in (one, other))
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.mark.parametrize("kind", ["llava", "qwen2_vl"])
@pytest.mark.parametrize(("at", "resumed"), [(2, 0), (3, 2), (6, 4), (8, 6)])
def test_an_interrupted_run_equals_an_uninterrupted_one(
    kind, at, resumed, script, tiny_families, tmp_path, monkeypatch
):
    whole = script("forget", *NPO_KL, *RUN, *LORA, f"save_dir={tmp_path / 'whole'}", family=kind)
    heal = interrupt(monkeypatch, at)
    torch.manual_seed(99)
    with pytest.raises(KilledError):
        script("forget", *NPO_KL, *RUN, *LORA, f"save_dir={tmp_path / 'cut'}", family=kind)
    assert len((tmp_path / "cut" / "log.jsonl").read_text().splitlines()) == at - 1
    assert not (tmp_path / "cut" / "adapter_config.json").exists()
    heal()
    torch.manual_seed(77)
    cut = script("forget", *NPO_KL, *RUN, *LORA, f"save_dir={tmp_path / 'cut'}", family=kind)
    spent, all_at_once = (json.loads((run / "done.json").read_text())["cost"] for run in (cut, whole))
    assert spent["resumed_at"] == resumed
    assert {key: spent[key] for key in ("forwards", "steps")} == {
        key: all_at_once[key] for key in ("forwards", "steps")
    }
    assert_same_run(tiny_families[kind], whole, cut)
    assert not list(cut.glob("state*"))


def test_full_weights_resume_too(script, tiny_families, tmp_path, monkeypatch):
    whole = script("finetune", *RUN, "num_epochs=1", f"save_dir={tmp_path / 'whole'}")
    heal = interrupt(monkeypatch, 6)
    with pytest.raises(KilledError):
        script("finetune", *RUN, "num_epochs=1", f"save_dir={tmp_path / 'cut'}")
    heal()
    assert_same_run(
        tiny_families["llava"], whole, script("finetune", *RUN, "num_epochs=1", f"save_dir={tmp_path / 'cut'}")
    )


def test_saving_states_changes_nothing(script, tiny_families, tmp_path):
    one = script("forget", *NPO_KL, *RUN, *LORA, f"save_dir={tmp_path / 'often'}")
    other = script("forget", *NPO_KL, *RUN, *LORA, f"save_dir={tmp_path / 'never'}", "save_state_every=0")
    assert_same_run(tiny_families["llava"], one, other)


def test_a_state_holds_what_trains_and_not_the_base(script, tmp_path, monkeypatch):
    from safetensors.torch import load_file

    interrupt(monkeypatch, 3)
    with pytest.raises(KilledError):
        script("forget", *NPO_KL, *RUN, *LORA, f"save_dir={tmp_path / 'cut'}")
    state = tmp_path / "cut" / "state"
    assert all(".lora_" in name for name in load_file(state / "trained.safetensors"))
    assert {f.name for f in state.iterdir()} == {
        "trained.safetensors", "position.json", "optimizer.bin", "scheduler.bin", "random_states_0.pkl",
    }  # fmt: skip


def test_the_older_state_serves_where_the_newer_was_cut_off_between_renames(
    script, tiny_families, tmp_path, monkeypatch
):
    whole = script("forget", *NPO_KL, *RUN, *LORA, f"save_dir={tmp_path / 'whole'}")
    heal = interrupt(monkeypatch, 6)
    with pytest.raises(KilledError):
        script("forget", *NPO_KL, *RUN, *LORA, f"save_dir={tmp_path / 'cut'}")
    heal()
    (tmp_path / "cut" / "state").rename(tmp_path / "cut" / "state.old")
    (tmp_path / "cut" / "state.new").mkdir()
    cut = script("forget", *NPO_KL, *RUN, *LORA, f"save_dir={tmp_path / 'cut'}")
    assert json.loads((cut / "done.json").read_text())["cost"]["resumed_at"] == 4
    assert_same_run(tiny_families["llava"], whole, cut)


def test_another_configuration_does_not_take_over_a_state(script, tmp_path, monkeypatch):
    heal = interrupt(monkeypatch, 3)
    with pytest.raises(KilledError):
        script("forget", *NPO_KL, *RUN, *LORA, f"save_dir={tmp_path / 'cut'}")
    heal()
    with pytest.raises(UserError, match="already holds another run"):
        script("forget", *NPO_KL, *RUN, *LORA, "lr=1e-3", f"save_dir={tmp_path / 'cut'}")
    out = script("forget", *NPO_KL, *RUN, *LORA, "lr=1e-3", f"save_dir={tmp_path / 'cut'}", "overwrite_dir=true")
    assert json.loads((out / "done.json").read_text())["cost"]["resumed_at"] == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run(value, script, tiny_families, tmp_path, monkeypatch):
    from unlearn.methods.npo import NPO

    real, calls = NPO.terms, []

    def terms(self, views):
        calls.append(views)
        for term in real(self, views):
            # Two micro-batches a step (in the second step of an epoch one of them is empty): the 5th call is step 3.
            spoilt = term.view == "forget" and len(calls) == 5
            yield type(term)(term.view, term.values * value if spoilt else term.values, term.per, term.weight)

    whole = script("forget", *NPO_KL, *RUN, *LORA, f"save_dir={tmp_path / 'whole'}")
    monkeypatch.setattr(NPO, "terms", terms)
    with pytest.raises(NonFiniteLossError) as stop:
        script("forget", *NPO_KL, *RUN, *LORA, f"save_dir={tmp_path / 'cut'}")
    uids = [uid for views in calls[4:6] for view in views.values() for uid in view.batch.uids]
    assert "Step 3" in str(stop.value)
    assert "forget_0" in str(stop.value)
    assert "retain_1" not in str(stop.value)
    assert len(uids) == 4
    assert all(uid in str(stop.value) for uid in uids)
    monkeypatch.setattr(NPO, "terms", real)
    cut = script("forget", *NPO_KL, *RUN, *LORA, f"save_dir={tmp_path / 'cut'}")
    assert json.loads((cut / "done.json").read_text())["cost"]["resumed_at"] == 2
    assert_same_run(tiny_families["llava"], whole, cut)


def test_a_gradient_that_is_not_finite_stops_the_run(script, tmp_path, monkeypatch):
    from unlearn.methods.npo import NPO

    def terms(self, views):
        values = views["forget"].logps
        # sqrt has an infinite slope at 0: the value is finite, its gradient is not.
        yield from [
            type(t)(t.view, t.values * 0 + (values - values.detach()).abs().sqrt(), t.per) for t in real(self, views)
        ]

    real = NPO.terms
    monkeypatch.setattr(NPO, "terms", terms)
    with pytest.raises(NonFiniteLossError, match=r"Step 1: .*gradient.*cap-|Step 1: .*gradient.*qa-"):
        script("forget", "forget_loss=npo", "forget_loss.retain_term=none", *RUN, *LORA, f"save_dir={tmp_path / 'cut'}")


def test_the_models_own_dropout_is_drawn_from_the_seed(script, tiny_llava, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(tiny_llava, base)
    config = json.loads((base / "config.json").read_text())
    config["text_config"]["attention_dropout"] = 0.5
    (base / "config.json").write_text(json.dumps(config))
    logs = []
    for name, given in (("one", 1), ("two", 2), ("other", 1)):
        torch.manual_seed(given)
        seed = 5 if name == "other" else 0
        out = script(
            "finetune", *RUN, "num_epochs=1", f"save_dir={tmp_path / name}", f"model_path={base}", f"seed={seed}"
        )
        logs.append((out / "log.jsonl").read_text().splitlines())
    assert logs[0][-1] == logs[1][-1]
    assert logs[0][0] != logs[2][0]

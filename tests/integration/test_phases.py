"""Methods that are more than one loss a step: phases, layers, negation and penalties, through mm/forget.py's main."""

import json

import pytest
import torch

from unlearn.models.loading import load_model

FULL = (
    "lr=3e-3", "batch_size=2", "num_epochs=4", "lr_scheduler=constant", "warmup_ratio=0", "freeze_projector=false",
    "LoRA.r=0", "model_family.dtype=float64",
)  # fmt: skip
LORA = (*FULL, "LoRA.r=4", "LoRA.alpha=8")


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def weights(family, path=None):
    return load_model(family, path and str(path)).state_dict()


def distance(a, b):
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def test_scrub_alternates_beginning_with_a_min_phase(script, tmp_path):
    """3 forget samples, 2 a step: two steps a phase, and max-phases in the first two epochs alone."""
    out = script("forget", "forget_loss=scrub", f"save_dir={tmp_path / 'run'}", *FULL)
    log = log_of(out)
    phases = ["min", "min", "max", "max"] * 2 + ["min", "min"] * 2
    assert [row["phase"] for row in log] == phases
    assert [row["epoch"] for row in log] == [0] * 4 + [1] * 4 + [2] * 2 + [3] * 2
    for row in log:
        terms = {"min": {"min_retain_0", "min_retain_1"}, "max": {"max_forget_0"}}[row["phase"]]
        assert set(row) - {"step", "epoch", "phase", "loss", "grad_norm", "lr"} == terms
    assert log[0]["min_retain_1"] == pytest.approx(0, abs=1e-12)  # the student is its teacher
    assert log[2]["max_forget_0"] < 0 < log[-1]["min_retain_1"]


def test_min_phase_samples_set_the_length_of_a_min_phase(script, tmp_path):
    given = ("forget_loss=scrub", "forget_loss.min_phase_samples=12", "forget_loss.msteps=1", "num_epochs=1")
    out = script("forget", f"save_dir={tmp_path / 'run'}", *FULL, *given)
    assert [row["phase"] for row in log_of(out)] == ["min"] * 6 + ["max"] * 2


@pytest.mark.parametrize("kind", ["llava", "qwen2_vl"])
@pytest.mark.parametrize("given", [FULL, LORA])
def test_rmu_trains_the_layers_up_to_its_own_and_nothing_else(given, kind, script, tiny_families, tmp_path):
    chosen = ("forget_loss=rmu", "forget_loss.layer=0", "num_epochs=2")
    out = script("forget", f"save_dir={tmp_path / 'run'}", *given, *chosen, family=kind)
    old, new = weights(tiny_families[kind]), weights(tiny_families[kind], out)
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed
    assert all("language_model.layers.0." in name for name in changed)
    log = log_of(out)
    assert log[0]["retain_1"] == pytest.approx(0, abs=1e-12)
    assert log[-1]["forget_0"] < log[0]["forget_0"]


def test_the_target_of_rmu_has_five_times_the_length_of_the_hidden_states(script, tiny_families, sides, tmp_path):
    """At the start the forget term is the mean of |h - 5 m u|^2 / d, m the mean length over all of D_f."""
    from unlearn.data.collate import Collator
    from unlearn.forwards import label_hidden
    from unlearn.methods.rmu import control_vector
    from unlearn.models.loading import load_encoder

    out = script("forget", "forget_loss=rmu", f"save_dir={tmp_path / 'run'}", *FULL, "batch_size=3", "seed=7")
    family = tiny_families["llava"]
    model, encoder = load_model(family, None).double(), load_encoder(family, None)
    with torch.no_grad():
        states = [label_hidden(model, Collator(0)([encoder.encode(s, 160)]), 0) for s in sides["forget"]]
    hidden = torch.cat(states)
    target = 5 * hidden.norm(dim=1).mean() * control_vector(16, 7)
    assert log_of(out)[0]["forget_0"] == pytest.approx(((hidden - target) ** 2).mean().item(), rel=1e-6)


def test_a_layer_that_the_model_lacks_is_refused_before_its_weights_are_read(script, tmp_path, monkeypatch):
    from unlearn.errors import UserError

    monkeypatch.setattr("unlearn.models.loading.load_model", lambda *_: pytest.fail("weights were read"))
    with pytest.raises(UserError, match=r"forget_loss\.layer is 2; allowed are 0 to 1"):
        script("forget", "forget_loss=rmu", "forget_loss.layer=2", f"save_dir={tmp_path / 'run'}", *FULL)


@pytest.mark.parametrize("given", [FULL, LORA])
@pytest.mark.parametrize("method", ["sku", "task_vector"])
def test_a_negation_ends_behind_its_start(method, given, script, tiny_families, tmp_path):
    """The same run without negation (lambda -> 0 is not allowed, so by hand) ends at theta_1."""
    chosen = f"forget_loss={method}"
    runs = {
        scale: script("forget", chosen, f"forget_loss.negation={scale}", f"save_dir={tmp_path / scale}", *given)
        for scale in ("1.0", "0.5")
    }
    family = tiny_families["llava"]
    start, whole, half = weights(family), *(weights(family, out) for out in runs.values())
    assert distance(start, whole) > 1e-2
    for name in start:
        torch.testing.assert_close(whole[name] - start[name], 2 * (half[name] - start[name]), atol=1e-5, rtol=1e-4)


def test_sku_learns_before_it_negates(script, tmp_path):
    log = log_of(script("forget", "forget_loss=sku", f"save_dir={tmp_path / 'run'}", *FULL))
    terms = {"forget_0", *(f"random{k}_{k + 1}" for k in range(5)), "retain_6"}
    assert set(log[0]) - {"step", "epoch", "loss", "grad_norm", "lr"} == terms
    assert log[-1]["forget_0"] < log[0]["forget_0"]
    assert log[-1]["retain_6"] < log[0]["retain_6"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("origin", ["zero", "start"])
def test_an_l1_penalty_pulls_to_its_origin(origin, script, tiny_families, tmp_path):
    family, ends = tiny_families["llava"], {}
    for weight in ("0", "0.02"):
        given = (f"l1_lambda={weight}", f"l_norm_from={origin}", "forget_loss=retain_ft")
        ends[weight] = script("forget", f"save_dir={tmp_path / weight}", *FULL, *given, "max_grad_norm=null")
    start = weights(family)
    zero = {name: torch.zeros_like(tensor) for name, tensor in start.items()}
    reference = {"zero": zero, "start": start}[origin]
    trained = [name for name in start if not torch.equal(start[name], weights(family, ends["0"])[name])]
    norms = {
        weight: sum(float((weights(family, out)[name] - reference[name]).abs().sum()) for name in trained)
        for weight, out in ends.items()
    }
    assert norms["0.02"] < 0.97 * norms["0"]
    first, last = log_of(ends["0.02"])[0], log_of(ends["0.02"])[-1]
    assert first["loss"] == pytest.approx(first["retain_0"] + first["l1"])
    norm = sum(float((start[name] - reference[name]).abs().sum()) for name in trained)
    assert first["l1"] == pytest.approx(0.02 * norm, abs=1e-4)
    assert "l1" not in log_of(ends["0"])[0]
    assert last["l1"] < first["l1"] if origin == "zero" else last["l1"] > 0


PDU = ("forget_loss.eps=4", "forget_loss.warmup_epochs=1", "forget_loss.lam0=2")
ALTPO = ("forget_loss=altpo", "forget_loss.max_new_tokens=6")


@pytest.mark.parametrize("method", ["scrub", "sku", "rmu", "salun", "pdu", "mmunlearner", "kvw"])
def test_a_run_that_was_cut_off_ends_like_a_whole_one(method, script, tiny_families, tmp_path, monkeypatch):
    """Between two phases; where weights move only at the end; with a mask; after an edit or a multiplier's move."""
    from unlearn.errors import NonFiniteLossError
    from unlearn.trainer import Trainer

    own = PDU if method == "pdu" else ()
    given = (f"forget_loss={method}", *own, *FULL, "num_epochs=2", "save_state_every=1")
    whole = script("forget", f"save_dir={tmp_path / 'whole'}", *given)
    real, cut = Trainer._step, {"scrub": 4, "pdu": 4, "kvw": 2}.get(method, 3)

    def step(self, batches, number):
        if number == cut:
            raise NonFiniteLossError("cut off")
        return real(self, batches, number)

    monkeypatch.setattr(Trainer, "_step", step)
    with pytest.raises(NonFiniteLossError):
        script("forget", f"save_dir={tmp_path / 'cut'}", *given)
    monkeypatch.setattr(Trainer, "_step", real)
    again = script("forget", f"save_dir={tmp_path / 'cut'}", *given)
    assert json.loads((again / "done.json").read_text())["cost"]["resumed_at"] == cut - 1
    assert log_of(again) == log_of(whole)
    family = tiny_families["llava"]
    assert distance(weights(family, whole), weights(family, again)) == 0


def written(folder):
    return [json.loads(line) for line in (folder / "alternates.jsonl").read_text().rstrip("\n").split("\n")]


def test_altpo_learns_from_alternates_that_the_start_model_wrote_once(
    script, sides, tiny_families, tmp_path, monkeypatch
):
    """A run that was cut off reads them again, or, where they are gone, writes the same: also after weights moved."""
    from unlearn.trainer import Trainer
    from unlearn.writing import Writer

    given = (*ALTPO, *LORA, "num_epochs=2", "save_state_every=1")
    whole = script("forget", f"save_dir={tmp_path / 'whole'}", *given)
    rows, uids = written(whole), [sample.uid for sample in sides["forget"]]
    assert [(row["uid"], row["draw"]) for row in rows] == [(uid, draw) for uid in uids for draw in range(5)]
    assert len({row["answer"] for row in rows}) == 15

    real, asked = Writer._rows, []
    monkeypatch.setattr(Writer, "_rows", lambda self, *a: asked.append(a) or real(self, *a))
    step = Trainer._step
    for name, again in (("kept", 0), ("gone", 1)):
        out = tmp_path / name
        monkeypatch.setattr(Trainer, "_step", lambda self, b, number: step(self, b, number) if number < 3 else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            script("forget", f"save_dir={out}", *given)
        monkeypatch.setattr(Trainer, "_step", step)
        if again:
            (out / "alternates.jsonl").unlink()
        asked.clear()
        script("forget", f"save_dir={out}", *given)
        assert len(asked) == again
        assert written(out) == rows
        assert log_of(out) == log_of(whole)
        assert distance(*(weights(tiny_families["llava"], path) for path in (whole, out))) == 0
    done = json.loads((whole / "done.json").read_text())["cost"]
    assert done["forwards"] > 4 * 6  # the forwards of writing count


def test_the_multiplier_of_pdu_is_logged_and_follows_the_retained_loss(script, tmp_path):
    """It stays in the first epoch (2 steps), and then takes a step with every optimiser step, at most down to 0."""
    given = ("forget_loss=pdu", *PDU, "forget_loss.eta=3", *FULL, "batch_size=1", "gradient_accumulation_steps=2")
    log = log_of(script("forget", f"save_dir={tmp_path / 'run'}", *given))
    expected = 2.0
    for row in log:
        assert row["lam"] == pytest.approx(expected)
        assert row["loss"] == pytest.approx(row["forget_0"] + row["lam"] * row["retain_1"])
        if row["epoch"] >= 1:
            expected = max(0.0, expected + 3 * row["retain_1"])
    assert len({row["lam"] for row in log}) > 3


@pytest.mark.parametrize("given", [FULL, LORA])
def test_the_optimiser_gets_the_student_and_never_its_teacher(given, script, tmp_path, monkeypatch):
    from unlearn import engine, reference, state
    from unlearn.config.schema import Optimizer
    from unlearn.trainer import Trainer

    seen, teachers, real = {}, [], reference.second_model
    monkeypatch.setattr(reference, "second_model", lambda model, *a: teachers.append(model) or real(model, *a))
    adamw = engine.OPTIMIZERS[Optimizer.adamw]
    monkeypatch.setitem(engine.OPTIMIZERS, Optimizer.adamw, lambda p, *a: seen.update(given=list(p)) or adamw(p, *a))
    prepare = Trainer._prepare
    monkeypatch.setattr(Trainer, "_prepare", lambda self: seen.update(model=self.model) or prepare(self))
    script("forget", "forget_loss=kl", f"save_dir={tmp_path / 'run'}", *given, "num_epochs=1")
    assert len(teachers) == (1 if given is FULL else 0)
    wanted = [parameter for _, parameter in state.trained(seen["model"])]
    assert [id(parameter) for parameter in seen["given"]] == [id(parameter) for parameter in wanted]
    assert all(parameter.requires_grad for parameter in seen["given"])

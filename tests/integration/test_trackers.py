"""Training curves go where they were asked to go, offline, below save_dir."""

import pytest

RUN = ("lr=1e-3", "batch_size=4", "num_epochs=2", "LoRA.r=2")


def test_tensorboard_writes_the_terms(script, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = script("forget", "forget_loss=npo", "tracker=tensorboard", f"save_dir={tmp_path / 'run'}", *RUN)
    (file,) = out.rglob("events.out.tfevents.*")
    events = EventAccumulator(str(file)).Reload()
    assert {"loss", "forget_0", "retain_1", "lr", "grad_norm"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("loss")] == [1, 2]


def test_wandb_offline_writes_below_save_dir(script, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    out = script("forget", "forget_loss=npo", "tracker=wandb", f"save_dir={tmp_path / 'run'}", *RUN)
    (file,) = out.rglob("*.wandb")
    assert file.stat().st_size > 500
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_two_tracked_runs_in_one_process_are_two_runs(script, tmp_path, monkeypatch):
    """A sweep (`-m`) trains several times in one process."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("first", "second"):
        script("forget", "forget_loss=npo", "tracker=wandb", f"save_dir={tmp_path / name}", *RUN)
    assert [len(list((tmp_path / name).rglob("*.wandb"))) for name in ("first", "second")] == [1, 1]


def test_without_a_tracker_there_is_the_log_alone(script, tmp_path):
    out = script("forget", "forget_loss=npo", f"save_dir={tmp_path / 'run'}", *RUN)
    assert not list(out.rglob("*.wandb"))
    assert not list(out.rglob("events.*"))
    assert len((out / "log.jsonl").read_text().splitlines()) == 2


def test_a_tracker_does_not_make_another_run(script, tmp_path, monkeypatch):
    out = script("forget", "forget_loss=npo", f"save_dir={tmp_path / 'run'}", *RUN)
    monkeypatch.setattr("unlearn.models.loading.load_model", lambda *_: pytest.fail("weights were read"))
    assert script("forget", "forget_loss=npo", "tracker=tensorboard", f"save_dir={out}", *RUN) == out

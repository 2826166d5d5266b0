"""`--help` of every script, and what launch() does with one job or a sweep."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from unlearn.config.faces import FaceAttack, FaceEval, FaceFinetune, FaceForget, FaceTraining
from unlearn.config.scripts import EvalConfig, FinetuneConfig, ForgetConfig
from unlearn.entry import help_text, launch, register_schemas
from unlearn.errors import UserError
from unlearn.metrics.aggregate import AggregateConfig

PROJECT = Path(__file__).parents[2]
SCRIPTS = {
    "mm/finetune": FinetuneConfig,
    "mm/forget": ForgetConfig,
    "mm/eval": EvalConfig,
    "cv/pretrain": FaceTraining,
    "cv/finetune": FaceFinetune,
    "cv/forget": FaceForget,
    "cv/eval": FaceEval,
    "cv/attack": FaceAttack,
    "aggregate_eval_stat": AggregateConfig,
}
GROUPS = {
    "mm/finetune": ("preset", "model_family", "data"),
    "mm/forget": ("preset", "model_family", "data", "forget_loss"),
    "mm/eval": ("preset", "model_family", "data", "task", "eval"),
    "cv/pretrain": ("face_preset", "face_model", "face_data"),
    "cv/finetune": ("face_preset", "face_model", "face_data"),
    "cv/forget": ("face_preset", "face_model", "face_data", "forget_loss"),
    "cv/eval": ("face_preset", "face_model", "face_data"),
    "cv/attack": ("face_preset", "face_model", "face_data"),
    "aggregate_eval_stat": (),
}


def keys(schema, prefix=""):
    for key in dataclasses.fields(schema):
        if dataclasses.is_dataclass(key.type):
            yield from keys(key.type, f"{prefix}{key.name}.")
        else:
            yield prefix + key.name, key.metadata["help"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_names_every_key_value_and_group(name):
    register_schemas(name, SCRIPTS[name])
    text = help_text(name, SCRIPTS[name], "What it does.")
    lines = text.splitlines()
    assert lines[0] == "What it does."
    of_keys = text.partition("Groups")[0].splitlines()
    for key, about in keys(SCRIPTS[name]):
        (line,) = [line for line in of_keys if line.split()[:1] == [key] or line.split()[:1] == [f"{key}:"]]
        assert about in line, key
    for group in GROUPS[name]:
        names = sorted(path.stem for path in (PROJECT / "config" / group).glob("*.yaml"))
        assert f"  {group}: {', '.join(names)}" in lines
    if not GROUPS[name]:
        assert "Groups" not in text


def test_help_shows_values_and_the_methods_own_keys():
    register_schemas("mm/forget", ForgetConfig)
    lines = [line.split() for line in help_text("mm/forget", ForgetConfig, "").splitlines()]
    values = {line[0]: line[1] for line in lines if len(line) > 1}
    assert values["forget_split"] == "forget10"
    assert values["freeze_vision_module"] == "true"
    assert values["forget_data_path"] == "null"
    assert values["forget_loss.beta"] == "0.1"
    assert values["forget_loss.retain_term"] == "ce"


@pytest.mark.parametrize("file", [f"{name}.py" for name in SCRIPTS])
def test_help_of_the_script_leaves_with_status_0(file, tmp_path):
    done = subprocess.run(
        [sys.executable, str(PROJECT / file), "--help"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Keys (config/" in done.stdout
    assert list(tmp_path.iterdir()) == []


def run(monkeypatch, *arguments, main=None):
    monkeypatch.setattr(sys, "argv", ["mm/forget.py", *arguments])
    seen = []
    launch("mm/forget", ForgetConfig, main or seen.append)
    return [(cfg.forget_loss.name, cfg.lr) for cfg in seen]


def test_one_job(monkeypatch):
    assert run(monkeypatch, "forget_loss=NPO", "lr=0.5") == [("npo", 0.5)]


def test_a_sweep_runs_every_combination_in_one_process(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    expected = [("npo", 0.5), ("npo", 0.25), ("grad_ascent", 0.5), ("grad_ascent", 0.25)]
    assert run(monkeypatch, "-m", "forget_loss=NPO,grad_ascent", "lr=0.5,0.25") == expected
    assert run(monkeypatch, "lr=0.5", "--multirun") == [("npo", 0.5)]
    assert list(tmp_path.iterdir()) == []


def test_no_job_of_a_sweep_begins_where_one_is_wrong(monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "-m", "lr=1,-1", main=lambda _cfg: pytest.fail("began"))
    assert stop.value.code == 2
    assert "lr is -1.0" in capsys.readouterr().err


def test_a_mistake_in_main_is_a_sentence_and_a_bug_is_a_traceback(monkeypatch, capsys):
    def mistaken(_cfg):
        raise UserError("Do this instead.")

    def broken(_cfg):
        raise ZeroDivisionError

    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, main=mistaken)
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: Do this instead.\n"
    with pytest.raises(ZeroDivisionError):
        run(monkeypatch, main=broken)


def test_a_list_is_no_sweep(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mm/eval.py", "-m", "tasks=[forget_qa,retain_qa]", "model_path=a,b"])
    seen = []
    launch("mm/eval", EvalConfig, seen.append)
    assert [(cfg.tasks, cfg.model_path) for cfg in seen] == [(["forget_qa", "retain_qa"], path) for path in "ab"]

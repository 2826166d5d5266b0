"""The table of an experiment from hand-made logs and runs."""

import csv
import json
import random

import pytest

from unlearn.errors import UserError
from unlearn.report import LOG, ReportConfig, main, training_cost

TASKS = {
    "real_faces": ("Real Faces", "real", True),
    "real_world": ("Real World", "real", True),
    "retain_captions": ("Retain Captions", "retain", False),
    "retain_names": ("Retain Names", "retain", True),
    "forget_captions": ("Forget Captions", "forget", False),
}
LOSSES = {"npo": 1.5, "gold": 2.0}


def write_run(folder, loss, trained=True):
    """One item of loss `loss` a task, against wrong answers of loss 1 and 2, and one of loss 0.5."""
    out = (folder / LOG).parent
    out.mkdir(parents=True)
    rng = random.Random(0)
    log = {
        task: {
            "avg_gt_loss": {"0": loss, "1": 0.5},
            "avg_paraphrased_loss": {"0": loss, "1": 0.5},
            "average_perturb_loss": {"0": [2.0, 3.0], "1": [0.25 + rng.random(), 0.25]},
            "rougeL_recall": {"0": 0.5, "1": 1.0},
            "uid": {"0": "a", "1": "b"},
        }
        for task in TASKS
    }
    (folder / LOG).write_text(json.dumps(log))
    infos = {
        name: {"version": 1, "role": role, "choice": choice, "label": label, "expected": 2, "scored": 2}
        for name, (label, role, choice) in TASKS.items()
    }
    cost = {"wall_seconds": 4.0, "peak_memory_bytes": 2**20, "forwards": 7}
    splits = {"forget_split": "forget10", "retain_split": "retain90", "forget_modality": "both"}
    (out / "manifest.json").write_text(
        json.dumps({"format": 1, "metrics_version": 1, "seed": 0, **splits, "tasks": infos, "cost": cost})
    )
    if trained:
        cost = {"wall_seconds": 12.5, "peak_memory_bytes": 3 * 2**20, "forwards": 48, "steps": 24}
        (folder / "done.json").write_text(json.dumps({"identity": "x", "cost": cost}))


@pytest.fixture
def cfg(tmp_path):
    for name, loss in LOSSES.items():
        write_run(tmp_path / name, loss, trained=name == "npo")
    return ReportConfig({name: str(tmp_path / name) for name in LOSSES}, "gold", str(tmp_path), "me")


def test_a_row_per_model_with_both_costs_and_accuracies(cfg, tmp_path):
    main(cfg)
    npo, gold = csv.DictReader((tmp_path / "table.csv").open())
    assert (npo["Method"], npo["Submitted By"], gold["Method"]) == ("npo", "me", "gold")
    assert [float(npo[f"Train {c}"]) for c in ("Wall Seconds", "Peak Memory MiB", "Forwards")] == [12.5, 3.0, 48.0]
    assert gold["Train Wall Seconds"] == ""
    assert [float(npo[f"Eval {c}"]) for c in ("Wall Seconds", "Peak Memory MiB", "Forwards")] == [4.0, 1.0, 7.0]
    # npo is right at the first item (1.5 against 2 and 3), wrong at the second (.5 against .25); gold has a tie.
    assert (float(npo["Accuracy Retain Names"]), float(gold["Accuracy Retain Names"])) == (0.5, 0.0)
    assert "Accuracy Forget Captions" not in npo
    assert float(gold["Forget Quality"]) == 1.0


def test_the_summary_is_short_and_explains_itself(cfg, tmp_path):
    main(cfg)
    text = (tmp_path / "summary.md").read_text()
    table = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    assert table[0] == "Method"
    assert table[2:4] == ["Forget", "Retain"]
    assert "ROUGE Real World" not in text
    assert "Held-out" not in text
    assert "ROUGE Real World" in (tmp_path / "table.md").read_text()
    assert "Read each row against gold" in text
    assert str(tmp_path / "table.csv") in text


def test_a_cut_off_cost_is_named(tmp_path):
    (tmp_path / "done.json").write_text('{"identity": "x"')
    with pytest.raises(UserError, match="tells no cost"):
        training_cost(tmp_path / "done.json")


def test_gold_must_be_one_of_the_models():
    assert "Unknown gold" in ReportConfig({"npo": "x"}, "gold", "y").problems()[0]
    assert "models is empty" in ReportConfig({}, "gold", "y").problems()[0]

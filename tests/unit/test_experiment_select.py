"""Selection on hand-made logs: the nearest trial on one half of the people, ties, trials without a model, refusals."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unlearn.entry import load
from unlearn.errors import UserError
from unlearn.experiment import select
from unlearn.experiment.trials import trials
from unlearn.files import write_json
from unlearn.metrics.logs import EvalLog, TaskLog
from unlearn.metrics.people import Half, half
from unlearn.run import Run

TASKS = ("forget_captions", "retain_captions", "real_world")
PEOPLE = 12
NOWHERE: dict[str, float] = {}


def log(shifts=NOWHERE, groups=None):
    """Two rows a person; ROUGE is 0.5, moved by `shifts` of the task and person; the other scores are constants."""
    tasks = {}
    for name in TASKS:
        people = groups or [f"{name} {number}" for number in range(PEOPLE)]
        items = tuple(f"{person}.{row}" for person in people for row in range(2))
        tasks[name] = TaskLog(
            items=items,
            by_uid=True,
            groups=tuple(item.rpartition(".")[0] for item in items),
            truths=None,
            loss=np.ones(len(items)),
            paraphrase_loss=np.ones(len(items)),
            wrong_losses=tuple(np.ones(3) for _ in items),
            rouge=np.array([0.5 + shifts.get(item.rpartition(".")[0], 0.0) for item in items]),
        )
    return EvalLog(Path("log"), tasks, None)


def in_half(which, seed=0):
    """Return the people of one half in all tasks."""
    return {group for task in half(log(), which, seed).tasks.values() for group in task.groups}


def shift(amount, which=None, task="forget"):
    """Return what moves the people of a task, all or those of one half."""
    chosen = in_half(Half.selection) | in_half(Half.report) if which is None else in_half(which)
    return {person: amount for person in chosen if person.startswith(task)}


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Select among trials of logs, two learning rates a method; return the rows of trials.csv and the selection."""
    logs = {tmp_path / "gold": log()}
    monkeypatch.setattr(select, "read_log", lambda path: logs[path.parent.parent])

    def run(seed=0, lr="[0.1,0.2]", **methods):
        root = tmp_path / "sweep"
        for trial in trials(root, methods, [0.1, 0.2], [3]):
            made = methods[trial.method][trial.number]
            trial.folder.mkdir(parents=True, exist_ok=True)
            if made is None:
                write_json(trial.folder / "run.json", {"identity": "x"})
                Run(trial.folder, "x").stop("Step 3: loss is not finite")
            else:
                logs[trial.folder] = made
        keys = [f"save_dir={root}", f"golds=[{tmp_path / 'gold'}]", f"methods=[{','.join(methods)}]", f"sweep.lr={lr}"]
        select.main(load("select", [*keys, "sweep.num_epochs=[3]", f"sweep.seed={seed}"], select.SelectConfig))
        return list(csv.DictReader((root / "trials.csv").open())), json.loads((root / "selection.json").read_text())

    return run


def test_distances_are_known_and_the_smallest_of_the_largest_wins(sweep):
    """ROUGE, one of three scores of the one task of a set, moves by s: D = s / 3. The largest of the sets decides."""
    rows, chosen = sweep(npo=[log(shift(0.15, task="retain")), log(shift(0.12) | shift(-0.12, task="retain"))])
    assert [(row["method"], row["trial"], row["lr"], row["num_epochs"]) for row in rows] == [
        ("npo", "0", "0.1", "3"),
        ("npo", "1", "0.2", "3"),
    ]
    assert [[round(float(row[f"D {key}"]), 12) for key in ("Forget", "Retain", "Real", "Max")] for row in rows] == [
        [0, 0.05, 0, 0.05],
        [0.04, 0.04, 0, 0.04],
    ]
    assert [row["chosen"] for row in rows] == ["false", "true"]
    assert chosen == {
        "seed": 0,
        "methods": {"npo": {"folder": rows[1]["folder"], "overrides": ["lr=0.2", "num_epochs=3"]}},
    }
    assert rows[1]["folder"].endswith("/sweep/npo/lr0.2_epochs3")


def test_columns_are_those_of_the_report(sweep):
    rows, _ = sweep(npo=[log(), log()])
    assert ",".join(rows[0]) == "method,trial,lr,num_epochs,D Forget,D Retain,D Real,D Max,chosen,folder"


def test_only_half_of_the_people_selects(sweep):
    """What is best on all, and on the half that reports, loses."""
    rows, _ = sweep(npo=[log(shift(0.1, Half.selection)), log(shift(0.5, Half.report))])
    assert [row["chosen"] for row in rows] == ["false", "true"]
    assert [float(row["D Max"]) for row in rows] == pytest.approx([0.1 / 3, 0])


def test_the_seed_decides_which_half(sweep):
    moved = next(p for p in sorted(in_half(Half.selection, 0) & in_half(Half.report, 1)) if p.startswith("forget"))
    one = {moved: 0.2}
    assert [float(row["D Max"]) > 0 for row in sweep(seed=0, npo=[log(one), log()])[0]] == [True, False]
    rows, chosen = sweep(seed=1, npo=[log(one), log()])
    assert [float(row["D Max"]) for row in rows] == [0, 0]
    assert chosen["seed"] == 1


def test_of_equals_the_first_is_chosen(sweep):
    rows, _ = sweep(npo=[log(shift(0.1)), log(shift(0.1))], idk=[log(shift(0.1)), log(shift(-0.1))])
    assert [row["chosen"] for row in rows] == ["true", "false", "true", "false"]


def test_every_method_chooses_among_its_own(sweep):
    rows, chosen = sweep(npo=[log(shift(0.3)), log(shift(0.2))], idk=[log(shift(0.01)), log(shift(0.02))])
    assert [(row["method"], row["chosen"]) for row in rows] == [
        ("npo", "false"), ("npo", "true"), ("idk", "true"), ("idk", "false"),
    ]  # fmt: skip
    assert {name: entry["overrides"][0] for name, entry in chosen["methods"].items()} == {
        "npo": "lr=0.2",
        "idk": "lr=0.1",
    }


def test_a_trial_that_stopped_has_no_score_and_is_not_chosen(sweep):
    rows, chosen = sweep(npo=[None, log(shift(0.4))])
    assert [rows[0][key] for key in ("D Forget", "D Retain", "D Real", "D Max", "chosen")] == ["", "", "", "", "false"]
    assert rows[1]["chosen"] == "true"
    assert chosen["methods"]["npo"]["overrides"] == ["lr=0.2", "num_epochs=3"]


def test_methods_that_stopped_in_every_trial_are_named_and_all_trials_are_logged(sweep, tmp_path):
    with pytest.raises(UserError, match="Every trial of npo, idk stopped at a loss that is not finite"):
        sweep(npo=[None, None], kl=[log(), log()], idk=[None, None])
    rows = list(csv.DictReader((tmp_path / "sweep" / "trials.csv").open()))
    assert [row["D Max"] != "" for row in rows] == [False, False, True, True, False, False]
    assert not (tmp_path / "sweep" / "selection.json").exists()


def test_an_older_choice_does_not_outlive_its_trials(sweep, tmp_path):
    sweep(npo=[log(), log()])
    with pytest.raises(UserError, match="Every trial of npo stopped"):
        sweep(npo=[None, None])
    assert not (tmp_path / "sweep" / "selection.json").exists()


def test_too_few_people_for_two_halves_are_an_error(sweep):
    with pytest.raises(UserError, match="too few people to be divided into two halves"):
        sweep(npo=[log(groups=["Ada"]), log(groups=["Ada"])])


def test_a_set_without_tasks_is_named(sweep, monkeypatch):
    real = select.half

    def without_real(log, which, seed):
        found = real(log, which, seed)
        del found.tasks["real_world"]
        return found

    monkeypatch.setattr(select, "half", without_real)
    with pytest.raises(UserError, match="No task has the role real"):
        sweep(npo=[log(), log()])


def test_an_absent_log_is_an_error(tmp_path):
    keys = [f"save_dir={tmp_path}", f"golds=[{tmp_path}]", "methods=[npo]", "sweep.lr=[0.1]", "sweep.num_epochs=[3]"]
    with pytest.raises(UserError, match="absent"):
        select.main(load("select", keys, select.SelectConfig))


@pytest.mark.parametrize("key", ["golds", "methods", "sweep.lr"])
def test_an_empty_list_is_an_error(key):
    with pytest.raises(UserError, match=rf"{key} is empty"):
        load("select", ["save_dir=x"], select.SelectConfig)


def test_selecting_imports_no_torch():
    code = "import sys, unlearn.experiment.select; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

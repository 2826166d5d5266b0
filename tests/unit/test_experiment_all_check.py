"""The check of the experiment with all methods on hand-made logs: all promises kept, then each broken on its own."""

from pathlib import Path

import mini_all_check
import numpy as np
import pytest

from unlearn.metrics.logs import EvalLog, TaskLog

GOLDS = ["gold", "gold_seed1", "gold_seed2"]
TASKS = ("forget_captions", "retain_captions", "real_world")
PEOPLE = 20


def log(rouge, spread=0.0):
    """Two rows a person; ROUGE on the forget task is `rouge`, from `spread` below to `spread` above, else 0.5."""
    tasks = {}
    for name in TASKS:
        moved = rouge + np.linspace(-spread, spread, PEOPLE).repeat(2) if name.startswith("forget") else 0.5
        items = tuple(f"{name} {number}.{row}" for number in range(PEOPLE) for row in range(2))
        tasks[name] = TaskLog(
            items=items,
            by_uid=True,
            groups=tuple(item.rpartition(".")[0] for item in items),
            truths=None,
            loss=np.ones(len(items)),
            paraphrase_loss=np.ones(len(items)),
            wrong_losses=tuple(np.ones(3) for _ in items),
            rouge=np.zeros(len(items)) + moved,
        )
    return EvalLog(Path("log"), tasks, None)


def good():
    """ROUGE is one of three scores: base is 0.58 / 3 from the pool of golds, the method 0.18 / 3."""
    golds = {name: log(0.3 + shift) for name, shift in zip(GOLDS, (0.0, 0.02, 0.04), strict=True)}
    return {"base": log(0.9), "npo": log(0.5), **golds}


def broken(**changed):
    logs = good() | changed
    found = mini_all_check.checks(logs, logs, GOLDS, "npo")
    return [check.what for check in found if not check.passed()]


def test_a_good_experiment_keeps_every_promise():
    found = mini_all_check.checks(good(), good(), GOLDS, "npo")
    assert [check.what for check in found if not check.passed()] == []
    assert len(found) == 2 + 4 + 3
    assert (found[0].value, found[0].bound) == pytest.approx((0.18 / 3, 0.6 * 0.58 / 3))
    assert found[-1].bound == pytest.approx(0.58 / 15)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"npo": log(0.7)}, ["npo: D forget, 0.6 of base's"]),
        ({"npo": log(0.45, 0.6), "base": log(0.55, 0.6)}, "npo: upper end of D forget, base's lower end (all people)"),
        ({"gold_seed2": log(0.45)}, "D forget of gold and gold_seed2, a fifth of base's"),
        ({"base": log(0.34)}, "base: D forget, gold's spread"),
    ],
)
def test_a_broken_promise_is_told(changed, what):
    assert broken(**changed) == what if isinstance(what, list) else what in broken(**changed)


def test_intervals_are_of_all_people_and_figures_of_the_half():
    """Half of the people may be too few for an interval, and the other half chose the method."""
    found = mini_all_check.checks(good(), good() | {"npo": log(0.89, 0.5)}, GOLDS, "npo")
    assert [check.what for check in found if not check.passed()] == [
        "npo: upper end of D forget, base's lower end (all people)"
    ]


def test_without_three_golds_nothing_is_known_of_their_spread():
    names = GOLDS[:2]
    logs = {name: value for name, value in good().items() if name != GOLDS[2]}
    found = mini_all_check.checks(logs, logs, names, "npo")
    assert {c.what for c in found if not c.passed()} == {f"{n}: D forget, gold's spread" for n in (*names, "base")}


def test_the_best_method_is_the_chosen_trial_nearest_to_gold(tmp_path):
    from unlearn.experiment.config import load_experiment

    folder = tmp_path / "sweep"
    folder.mkdir()
    lines = ["method,trial,D Max,chosen,folder", "kl,0,0.3,true,a", "npo,0,0.1,false,b", "npo,1,0.2,true,c"]
    (folder / "trials.csv").write_text("\n".join(lines) + "\n")
    (folder / "selection.json").write_text("{}")
    cfg = load_experiment("mini_all", [f"root={tmp_path}"])
    assert mini_all_check.chosen(cfg) == ("npo", Path("c"))


def test_an_experiment_that_did_not_end_is_an_error(tmp_path, capsys):
    assert mini_all_check.main([f"root={tmp_path}"]) == 2
    assert "has no selection.json" in capsys.readouterr().err

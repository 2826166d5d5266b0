"""The distance columns of a row, further gold seeds, and the published metrics."""

from dataclasses import replace
from pathlib import Path

import pytest

from unlearn.config.schema import Metrics
from unlearn.errors import UserError
from unlearn.metrics.aggregate import aggregate
from unlearn.metrics.distance import compare
from unlearn.metrics.logs import read_log
from unlearn.metrics.manifest import FOREIGN_TASKS

SETS = {"D Forget": "forget", "D Retain": "retain", "D Real": "real", "D Max": "max"}
FORGET = ("Forget Captions", "Forget Names", "Forget QA")
MM_TASKS = [name for name in FOREIGN_TASKS if not name.startswith("eval_")]


@pytest.fixture
def seeds(pair, new_log, new_manifest, tmp_path):
    """Return the config over a model of 40 items a task and three gold seeds."""
    cfg, write = pair
    logs = {name: new_log(MM_TASKS, seed, items=40) for seed, name in enumerate(("gold", "model", "second", "third"))}
    write(**{name: (log, new_manifest(log)) for name, log in logs.items()})
    further = [str(tmp_path / name / "eval_log_aggregated.json") for name in ("second", "third")]
    return replace(cfg, gold_results=further)


def test_the_row_has_the_distances_of_compare(seeds):
    row = aggregate(seeds)
    paths = [seeds.retain_result, *seeds.gold_results]
    compared = compare({"m": read_log(seeds.ckpt_result)}, {path: read_log(path) for path in paths})
    for column, key in SETS.items():
        found = compared.models["m"].sets[key]
        assert (row[column], row[f"{column} Low"], row[f"{column} High"]) == (found.value, found.low, found.high)
        assert row[f"{column} Gold"] == compared.band[key]
    assert row["D Max"] == max(row[column] for column in ("D Forget", "D Retain", "D Real"))
    for (name, score), found in compared.models["m"].scores.items():
        label = FOREIGN_TASKS[name].label
        assert (row[f"d {score.value} {label}"], row[f"d {score.value} {label} Low"]) == (found.value, found.low)
        shift = compared.models["m"].shifts[name, score]
        assert (row[f"Shift {score.value} {label}"], row[f"Shift {score.value} {label} High"]) == (
            shift.value,
            shift.high,
        )
    forgotten = [row[f"Shift {s} {t}"] for s in ("Prob.", "ROUGE", "q") for t in FORGET]
    assert row["Shift Forget"] == pytest.approx(sum(forgotten) / 9)
    within = compared.models["m"].within
    assert row["Within Gold's Spread"] == (", ".join(key.capitalize() for key in within if within[key]) or "none")
    # What remains is a part of base's distance, and no base is given here.
    assert "Remaining" not in row
    assert 0 < row["JS Distance Forget Captions Gold"] < 1
    assert 0 < row["JS Distance Forget QA"] < 1
    assert "JS Distance Retain QA" not in row


def test_with_base_the_row_says_what_remains_of_its_distance(seeds, pair, new_log, new_manifest, tmp_path):
    """Base is far from gold on the forget tasks: its wrong answers are likely there."""
    _, write = pair
    log = new_log(MM_TASKS, 9, items=40)
    for task in ("forget_captions", "forget_names", "forget_qa"):
        log[task]["avg_gt_loss"] = dict.fromkeys(log[task]["avg_gt_loss"], 0.01)
        log[task]["rougeL_recall"] = dict.fromkeys(log[task]["rougeL_recall"], 1.0)
    write(base=(log, new_manifest(log)))
    cfg = replace(seeds, base_result=str(tmp_path / "base" / "eval_log_aggregated.json"))
    assert cfg.problems() == []
    row, far = aggregate(cfg), aggregate(replace(seeds, ckpt_result=cfg.base_result))
    assert far["D Forget"] > far["D Forget Gold"]
    assert row["Remaining"] == pytest.approx(row["D Forget"] / far["D Forget"])
    assert row["Remaining Low"] < row["Remaining"] < row["Remaining High"]
    assert {key: value for key, value in row.items() if not key.startswith("Remaining")} == aggregate(seeds)
    own = replace(cfg, ckpt_result=seeds.retain_result)
    assert aggregate(own)["D Forget"] > 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"gold_results": []}, "with 1 gold(s), but Remaining needs 3; name more in gold_results"),
        ({"metrics": Metrics.released}, "metrics=released, which knows no distances"),
        ({"base_result": "GOLD"}, ", a gold; give the log of the model that was to forget."),
    ],
)
def test_a_base_that_nothing_can_be_said_of_is_refused(seeds, change, says):
    cfg = replace(replace(seeds, base_result="base.json"), **change)
    if cfg.base_result == "GOLD":
        cfg = replace(cfg, base_result=seeds.gold_results[0])
    (problem,) = cfg.problems()
    assert says in problem


def test_one_gold_has_no_band_and_nothing_to_be_held_against(seeds):
    row = aggregate(replace(seeds, gold_results=[]))
    assert not [column for column in row if column.startswith("D ") and column.endswith("Gold")]
    assert "Within Gold's Spread" not in row
    assert row["JS Distance Forget Captions Gold"] == "n/a"
    assert isinstance(row["D Forget Low"], float)


def test_few_people_have_no_interval(pair, mm_logs):
    cfg, write = pair
    write(**mm_logs)
    row = aggregate(cfg)
    assert [row[f"D Retain {end}"] for end in ("Low", "High")] == ["n/a", "n/a"]
    assert row["D Retain"] > 0


def test_a_gold_is_held_against_the_others(seeds):
    row = aggregate(replace(seeds, ckpt_result=seeds.gold_results[0]))
    golds = {path: read_log(path) for path in [seeds.retain_result, *seeds.gold_results]}
    compared = compare({}, golds)
    assert row["D Forget"] == compared.golds[seeds.gold_results[0]].sets["forget"].value > 0
    # However its path is written.
    again = seeds.gold_results[0].replace("/eval_log", "/../second/eval_log")
    assert aggregate(replace(seeds, ckpt_result=again)) == row
    assert row["JS Distance Forget Captions"] <= row["JS Distance Forget Captions Gold"]
    alone = aggregate(replace(seeds, ckpt_result=seeds.retain_result, gold_results=[]))
    assert [alone[column] for column in SETS] == pytest.approx([0, 0, 0, 0], abs=1e-15)


def test_every_gold_must_fit(seeds, new_log, new_manifest, pair):
    log = new_log(MM_TASKS, 3, items=40)
    pair[1](third=(log, new_manifest(log, forget_split="forget01")))
    with pytest.raises(UserError, match=r"third.* cannot be compared: forget_split is forget10 and forget01"):
        aggregate(seeds)


def test_a_gold_is_given_once(seeds):
    twice = replace(seeds, gold_results=[seeds.gold_results[0]] * 2)
    assert twice.problems() == [f"{seeds.gold_results[0]} is given as gold twice; give every gold seed once."]
    assert "given as gold twice" in replace(seeds, gold_results=[seeds.retain_result]).problems()[0]
    again = seeds.retain_result.replace("/eval_log", "/../gold/eval_log")
    assert "given as gold twice" in replace(seeds, gold_results=[again]).problems()[0]
    assert seeds.problems() == []


def test_logs_of_different_modes_are_refused(pair, mm_logs, new_manifest):
    cfg, write = pair
    write(gold=mm_logs["gold"], model=(mm_logs["model"][0], new_manifest(mm_logs["model"][0], metrics="released")))
    with pytest.raises(UserError, match="cannot be compared: metrics is released and correct"):
        aggregate(cfg)


def answered_blind(log):
    return {
        name: {**entry, "rougeL_recall_blind": dict.fromkeys(entry["rougeL_recall"], 0.125)}
        for name, entry in log.items()
    }


def test_released_rows_name_their_mode_and_have_published_columns_alone(pair, mm_logs, new_manifest):
    cfg, write = pair
    logs = {name: answered_blind(log) for name, (log, _) in mm_logs.items()}
    write(**{name: (log, new_manifest(log, metrics="released")) for name, log in logs.items()})
    row = aggregate(replace(cfg, metrics=Metrics.released))
    assert (row["Metrics"], row["ROUGE Forget Captions"]) == ("released", 0.125)
    assert 0.167 < row["Forget Quality"] < 1
    assert not [column for column in row if column.startswith(("D ", "d ", "KS ", "JS ", "Shift "))]
    assert row["Eval Forwards"] == 48
    # The same logs have both: one evaluation, two rows.
    correct = aggregate(cfg)
    assert correct["Metrics"] == "correct"
    assert correct["ROUGE Forget Captions"] > 0.125
    assert correct["Prob. Forget Captions"] == row["Prob. Forget Captions"]


def test_released_needs_blind_answers(pair, mm_logs):
    cfg, write = pair
    write(**mm_logs)
    with pytest.raises(
        UserError, match=r"model.* has no answers without the picture of real_faces, .*metrics=released"
    ):
        aggregate(replace(cfg, metrics=Metrics.released))


def test_logs_of_tofu_are_in_words_alone(pair, new_log):
    cfg, write = pair
    tasks = [name for name in FOREIGN_TASKS if name.startswith("eval_")]
    write(gold=(new_log(tasks, 1), None), model=(new_log(tasks, 2), None))
    row = aggregate(replace(cfg, metrics=Metrics.released))
    assert row["ROUGE Forget"] == aggregate(cfg)["ROUGE Forget"]


def test_the_default_is_correct():
    text = (Path(__file__).parents[3] / "config" / "aggregate_eval_stat.yaml").read_text()
    assert "metrics: correct" in text

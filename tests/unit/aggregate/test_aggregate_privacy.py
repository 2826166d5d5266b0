"""Attacks on models whose answer is known: one that memorised everything, one that never saw anybody."""

import json
import math
import random
import shutil
from pathlib import Path

import pytest

from unlearn.errors import UserError
from unlearn.metrics.aggregate import aggregate
from unlearn.metrics.logs import aggregated_from_records
from unlearn.metrics.membership import Attack

PEOPLE, ROWS = 40, 3
LOSSLESS = [a for a in Attack if a not in (Attack.reference, Attack.gradient_norm)]
KNOWN, STRANGE = (0.001, 0.01), (0.5, 3.0)
"""Surprise in nats at a token that was trained on, and at one that was not."""


def record(kind, person, row, surprise, rng):
    length = rng.randint(6, 12)
    logp = [-rng.uniform(*surprise) for _ in range(length)]
    tokens = {"logp": logp, "mu": [-1.0] * length, "sigma": [1.0] * length, "hit": [int(p > -0.1) for p in logp]}
    true = {"text": " ".join(rng.choices("abcdefgh", k=length)), **tokens}
    names = {"uid": f"{kind}-{person}-{row}", "group": f"{kind} {person}", "prompt": "?", "generated": "so"}
    return {**names, "answers": {"true": true, "paraphrase": None, "wrong": []}, "gradient_norm": -sum(logp)}


def log(seed, forget, holdout=STRANGE, people=PEOPLE):
    rng = random.Random(seed)
    return {
        f"{kind}_qa": aggregated_from_records(
            record(kind, person, row, surprise, rng) for person in range(people) for row in range(ROWS)
        )
        for kind, surprise in (("forget", forget), ("holdout", holdout))
    }


@pytest.fixture
def row_of(pair, new_manifest):
    """Return the row of a model's log beside gold's."""
    cfg, write = pair

    def run(model, gold, **changes):
        logs = {}
        for name, made in (("model", model), ("gold", gold)):
            manifest = new_manifest({"forget_qa": made["forget_qa"]})
            manifest["tasks"]["holdout_qa"] = {
                **manifest["tasks"]["forget_qa"],
                "role": "holdout",
                "label": "Holdout QA",
            }
            manifest["tasks"]["holdout_qa"]["members"] = "forget_qa"
            logs[name] = (made, {**manifest, **changes})
        write(**logs)
        return aggregate(cfg)

    return run


def test_a_model_that_memorised_everything(row_of):
    row = row_of(log(1, KNOWN), log(2, STRANGE))
    assert (row["Exact Mem. Forget QA"], row["Extr. Strength Forget QA"]) == (1.0, 1.0)
    assert (row["Exact Mem. Holdout QA"], row["Extr. Strength Holdout QA"]) == (0.0, 0.0)
    for attack in [*LOSSLESS, Attack.gradient_norm]:
        ends = [row[f"AUC {attack.value} Forget QA{end}"] for end in ("", " Low", " High")]
        assert ends == [1.0, 1.0, 1.0]
        assert row[f"TPR@1% FPR {attack.value} Forget QA"] == 1.0
        assert row[f"TPR@0.1% FPR {attack.value} Forget QA"] == "n/a (120 of 1000 others)"
    assert [row[f"PrivLeak Forget QA{end}"] for end in ("", " Low", " High")] == [-100.0] * 3


def test_a_model_that_never_saw_anybody(row_of):
    row = row_of(log(3, STRANGE), log(4, STRANGE))
    for attack in LOSSLESS:
        low, high = (row[f"AUC {attack.value} Forget QA {end}"] for end in ("Low", "High"))
        assert low < 0.5 < high
        assert 0.35 < low < high < 0.65
        assert row[f"TPR@1% FPR {attack.value} Forget QA"] < 0.1
    assert row["PrivLeak Forget QA Low"] < 0 < row["PrivLeak Forget QA High"]
    assert abs(row["PrivLeak Forget QA"]) < 30
    assert row["Extr. Strength Forget QA"] < 0.02


def test_a_model_that_over_forgot_leaks_by_the_other_sign(row_of):
    row = row_of(log(5, (5.0, 9.0)), log(6, STRANGE))
    assert row["AUC loss Forget QA"] == 0.0
    gold = row_of(log(6, STRANGE), log(6, STRANGE))["AUC Min-K Forget QA"]
    assert row["PrivLeak Forget QA"] == pytest.approx(100 * (1 - (1 - gold)) / (1 - gold))


def test_gold_beside_itself_leaks_nothing_more(row_of):
    row = row_of(log(7, STRANGE), log(7, STRANGE))
    assert [row[f"PrivLeak Forget QA{end}"] for end in ("", " Low", " High")] == [0.0] * 3


def test_a_gold_that_gives_everything_away_is_said_in_words(row_of):
    row = row_of(log(8, STRANGE), log(9, KNOWN))
    assert row["PrivLeak Forget QA"] == "n/a (gold's AUC is 1)"
    assert "PrivLeak Forget QA Low" not in row


def test_a_gold_without_the_numbers_is_an_error_and_not_one_half(row_of):
    gold = log(10, STRANGE)
    del gold["holdout_qa"]["mia_min_k"]
    with pytest.raises(UserError, match=r"gold/eval_log.* has no mia_min_k of forget_qa and holdout_qa.*evaluate gold"):
        row_of(log(11, STRANGE), gold)


def test_a_log_without_the_numbers_has_the_attacks_on_losses_alone(row_of):
    model = log(12, KNOWN)
    for entry in model.values():
        for key in [key for key in entry if key.startswith("mia_")]:
            del entry[key]
    row = row_of(model, log(13, STRANGE))
    assert {column for column in row if column.startswith(("AUC", "PrivLeak")) and "Low" not in column} == {
        "AUC loss Forget QA", "AUC loss Forget QA High",
    }  # fmt: skip


def test_fewer_than_ten_people_have_no_interval(row_of):
    row = row_of(log(14, KNOWN, people=9), log(15, STRANGE, people=9))
    assert (row["AUC loss Forget QA"], row["AUC loss Forget QA Low"], row["PrivLeak Forget QA High"]) == (
        1,
        "n/a",
        "n/a",
    )
    assert row["TPR@1% FPR loss Forget QA"] == "n/a (27 of 100 others)"


def test_what_is_to_be_kept_is_not_attacked(row_of, pair):
    made = [log(seed, STRANGE) for seed in (16, 17)]
    changed = row_of(*made)
    assert any(column.startswith("AUC") for column in changed)
    cfg, _ = pair
    for path in (cfg.ckpt_result, cfg.retain_result):
        manifest = Path(path).with_name("manifest.json")
        manifest.write_text(manifest.read_text().replace('"role": "forget"', '"role": "retain"'))
    assert not [column for column in aggregate(cfg) if column.startswith(("AUC", "TPR", "PrivLeak"))]


def test_the_reference_attack_takes_the_difficulty_of_an_item_off(row_of, pair, tmp_path):
    """Members that are hard by themselves hide behind their loss, but not behind the difference to another model's."""
    cfg, _ = pair
    reference, model = log(18, STRANGE, (0.4, 2.0)), log(19, STRANGE, (0.4, 2.0))
    for task, share in (("forget_qa", 0.95), ("holdout_qa", 1.0)):
        losses = reference[task]["avg_gt_loss"]
        # In another order of the items, which are matched by their names.
        model[task]["avg_gt_loss"] = {i: share * losses[i] for i in reversed(losses)}
    row = row_of(model, log(20, STRANGE))
    assert row["AUC loss Forget QA"] < 0.5
    assert "AUC reference Forget QA" not in row
    shutil.copytree(tmp_path / "gold", tmp_path / "other")
    cfg.reference_result = str(tmp_path / "other" / "eval_log_aggregated.json")
    Path(cfg.reference_result).write_text(json.dumps(reference))
    assert aggregate(cfg)["AUC reference Forget QA"] == 1.0
    cfg.reference_result = cfg.ckpt_result
    assert cfg.problems() == ["reference_result is ckpt_result; give the log of another model, or null."]


def test_intervals_are_those_of_people_and_not_of_rows(row_of):
    """With all rows of a person alike there are as many independent numbers as people, whatever the rows."""
    made = log(21, STRANGE)
    for entry in made.values():
        for i in entry["avg_gt_loss"]:
            entry["avg_gt_loss"][i] = entry["avg_gt_loss"][str(int(i) // ROWS * ROWS)]
    row = row_of(made, log(22, STRANGE))
    width = row["AUC loss Forget QA High"] - row["AUC loss Forget QA Low"]
    # Standard error of an area of 1/2 from n = m people without ties: sqrt((2 n + 1) / (12 n^2)).
    expected = 2 * 1.96 * math.sqrt((2 * PEOPLE + 1) / (12 * PEOPLE**2))
    assert width == pytest.approx(expected, rel=0.15)

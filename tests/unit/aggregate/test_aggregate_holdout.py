"""Holdout people and memorisation in a row of results: absent where unknown, and no part of any other number."""

import math

import pytest

from unlearn.config.schema import Metrics
from unlearn.errors import UserError
from unlearn.metrics.aggregate import aggregate

NEAR = pytest.approx


def with_holdout(logs, new_log, loss=1.0):
    """Add a holdout task without wrong answers to both logs, of whose people the model thinks `loss` of everything."""
    for name, seed in (("gold", 5), ("model", 6)):
        log, manifest = logs[name]
        entry = new_log(["holdout_qa"], seed)["holdout_qa"]
        entry["average_perturb_loss"] = {i: [] for i in entry["average_perturb_loss"]}
        entry["avg_gt_loss"] = dict.fromkeys(entry["avg_gt_loss"], loss)
        log["holdout_qa"] = entry
        info = {**manifest["tasks"]["forget_qa"], "role": "holdout", "label": "Holdout QA", "members": "forget_qa"}
        manifest["tasks"]["holdout_qa"] = info
    return logs


@pytest.mark.parametrize("metrics", Metrics)
def test_holdout_people_have_no_part_in_any_other_number(pair, mm_logs, new_log, metrics):
    cfg, write = pair
    cfg.metrics = metrics
    for log, manifest in mm_logs.values():
        manifest["metrics"] = metrics.value
        for entry in log.values():
            entry["rougeL_recall_blind"] = entry["rougeL_recall"]
    write(**mm_logs)
    before = aggregate(cfg)
    write(**with_holdout(mm_logs, new_log))
    after = aggregate(cfg)
    assert {column: after[column] for column in before} == before
    more = {column for column in after if column not in before and "TPR" not in column and "AUC" not in column}
    assert more == {"ROUGE Holdout QA", "Prob. Holdout QA"}
    assert after["Prob. Holdout QA"] == NEAR(math.exp(-1))


def test_logs_that_name_other_members_are_refused(pair, mm_logs, new_log):
    cfg, write = pair
    with_holdout(mm_logs, new_log)
    mm_logs["model"][1]["tasks"]["holdout_qa"]["members"] = "forget_captions"
    write(**mm_logs)
    with pytest.raises(UserError, match="members of task holdout_qa is forget_captions and forget_qa"):
        aggregate(cfg)


def test_memorisation_and_other_wordings_of_the_answers(pair, mm_logs):
    cfg, write = pair
    for log, _ in mm_logs.values():
        log["forget_qa"]["exact_memorization"] = {str(i): i / 5 for i in range(6)}
        log["forget_qa"]["extraction_strength"] = {str(i): 0.5 * (i > 2) for i in range(6)}
        log["retain_qa"]["avg_paraphrased_loss"] = log["retain_qa"]["avg_gt_loss"]
    write(**mm_logs)
    row = aggregate(cfg)
    assert (row["Exact Mem. Forget QA"], row["Extr. Strength Forget QA"]) == (NEAR(0.5), NEAR(0.25))
    assert "Exact Mem. Retain QA" not in row
    entry = mm_logs["model"][0]["forget_qa"]
    other = sum(math.exp(-loss) for loss in entry["avg_paraphrased_loss"].values()) / 6
    each = [[math.exp(-loss) for loss in losses] for losses in entry["average_perturb_loss"].values()]
    wrong = sum(sum(losses) / len(losses) for losses in each) / 6
    assert (row["Prob. Paraphrase Forget QA"], row["Prob. Perturbed Forget QA"]) == (NEAR(other), NEAR(wrong))
    # The true answer that stands in for an absent paraphrase is none, and options are no other wordings.
    assert "Prob. Paraphrase Retain QA" not in row
    assert "Prob. Perturbed Retain QA" in row
    assert not {"Prob. Paraphrase Forget Names", "Prob. Perturbed Forget Names"} & set(row)


def test_a_forget_task_without_wrong_answers_has_its_other_numbers(pair, mm_logs):
    cfg, write = pair
    for log, _ in mm_logs.values():
        log["forget_qa"]["average_perturb_loss"] = {str(i): [] for i in range(6)}
    write(**mm_logs)
    row = aggregate(cfg)
    absent = {"Truth Ratio Forget QA", "d q Forget QA", "KS Test Forget QA", "JS Distance Forget QA"}
    assert not absent & set(row)
    assert {"Prob. Forget QA", "d Prob. Forget QA", "d ROUGE Forget QA", "KS Test Forget Captions"} <= set(row)
    scores = [row[f"d {s} Forget {task}"] for task in ("Captions", "Names") for s in ("Prob.", "ROUGE", "q")]
    rest = [row[f"d {s} Forget QA"] for s in ("Prob.", "ROUGE")]
    assert row["D Forget"] == NEAR(sum([*scores, *rest]) / 8)

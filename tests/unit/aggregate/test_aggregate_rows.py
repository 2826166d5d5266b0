"""The row of results of multimodal and foreign logs, against naive twins."""

import math

import pytest

from unlearn.errors import UserError
from unlearn.metrics.aggregate import aggregate
from unlearn.metrics.manifest import FOREIGN_TASKS

MM_TASKS = [name for name in FOREIGN_TASKS if not name.startswith("eval_")]


def naive_scores(entry, choice):
    """Return ROUGE, probability, max(0, 1 - 1/R) and min(R, 1/R) by TOFU's formulas, item by item."""
    sums = [0.0] * 4
    for i, loss in entry["avg_gt_loss"].items():
        wrong = entry["average_perturb_loss"][i]
        p = math.exp(-loss)
        ratio = math.exp(sum(wrong) / len(wrong)) / math.exp(entry["avg_paraphrased_loss"][i])
        p = p / (p + sum(math.exp(-w) for w in wrong)) if choice else p
        item = (entry["rougeL_recall"][i], p, max(0, 1 - 1 / ratio), min(ratio, 1 / ratio))
        sums = [a + b for a, b in zip(sums, item, strict=True)]
    return [s / len(entry["avg_gt_loss"]) for s in sums]


def naive_harmonic(numbers):
    return 0.0 if 0 in numbers else len(numbers) / sum(1 / n for n in numbers)


def test_multimodal_row_against_a_naive_twin(pair, mm_logs):
    cfg, write = pair
    log = mm_logs["model"][0]
    # Captions forgotten out of sight of gold, so that their p-value is none of another task's.
    log["forget_captions"]["avg_paraphrased_loss"] = dict.fromkeys(map(str, range(6)), 9.0)
    write(**mm_logs)
    row = aggregate(cfg)
    naive = {name: naive_scores(log[name], FOREIGN_TASKS[name].choice) for name in MM_TASKS}
    for name, (rouge, probability, knows, close) in naive.items():
        info = FOREIGN_TASKS[name]
        assert row[f"ROUGE {info.label}"] == pytest.approx(rouge)
        assert row[f"Prob. {info.label}"] == pytest.approx(probability)
        assert row[f"Truth Ratio {info.label}"] == pytest.approx(close if info.role.value == "forget" else knows)
    for column, role in (("Real", "real"), ("Retain", "retain"), ("Forget", "forget")):
        members = [n for n in MM_TASKS if FOREIGN_TASKS[n].role.value == role]
        assert row[column] == pytest.approx(naive_harmonic([v for n in members for v in naive[n][:3]]))
    twelve = [v for n in ("real_faces", "real_world", "retain_captions", "retain_names") for v in naive[n][:3]]
    assert row["Model Utility"] == pytest.approx(naive_harmonic(twelve))
    assert row["Forget Quality"] == row["KS Test PVal Forget Captions"] < row["KS Test PVal Forget QA"]
    assert {"KS Test Forget Names", "KS Test log10 PVal Forget QA"} < set(row)
    assert not {"Foreign", "Incomplete", "KS Test Retain Captions"} & set(row)
    assert (row["Method"], row["Submitted By"], row["Metrics"]) == ("npo", "who", "correct")
    assert [row[f"Eval {c}"] for c in ("Wall Seconds", "Peak Memory MiB", "Forwards")] == [12.5, 3.0, 48]


def test_gold_against_itself(pair, mm_logs):
    cfg, write = pair
    write(gold=mm_logs["gold"], model=mm_logs["gold"])
    row = aggregate(cfg)
    assert (row["Forget Quality"], row["KS Test Forget Names"], row["KS Test log10 PVal Forget QA"]) == (1.0, 0.0, 0.0)


def test_roles_and_forget_quality_follow_the_manifest(pair, mm_logs):
    cfg, write = pair
    for _, manifest in mm_logs.values():
        manifest["forget_modality"] = "text"
        for name in ("forget_captions", "forget_names"):
            manifest["tasks"][name]["role"] = "retain"
    write(**mm_logs)
    row = aggregate(cfg)
    assert row["Forget Quality"] == row["KS Test PVal Forget QA"]
    assert "KS Test Forget Captions" not in row
    expected = naive_scores(mm_logs["model"][0]["forget_captions"], choice=False)
    assert row["Truth Ratio Forget Captions"] == pytest.approx(expected[2])


def test_numbers_without_their_tasks_are_absent_and_not_made_of_others(pair, new_log):
    cfg, write = pair
    tasks = ["retain_captions", "retain_names"]
    write(gold=(new_log(tasks, 1), None), model=(new_log(tasks, 2), None))
    row = aggregate(cfg)
    assert [row[c] for c in ("Real", "Forget", "Model Utility", "Forget Quality")] == [None] * 4
    assert row["Retain"] > 0


def test_foreign_logs_are_marked(pair, mm_logs):
    cfg, write = pair
    (gold, gold_manifest), (model, model_manifest) = mm_logs["gold"], mm_logs["model"]
    write(gold=(gold, None), model=(model, None))
    both = aggregate(cfg)
    write(gold=(gold, None), model=(model, model_manifest))
    one = aggregate(cfg)
    write(gold=(gold, gold_manifest), model=(model, None))
    other = aggregate(cfg)
    assert [row["Foreign"] for row in (both, one, other)] == [
        "retain_result ckpt_result",
        "retain_result",
        "ckpt_result",
    ]
    assert "Eval Forwards" in one
    assert "Eval Forwards" not in other
    assert both["Forget"] == one["Forget"] == other["Forget"]


def test_a_foreign_log_may_number_what_the_other_names_by_uid(pair, mm_logs, new_log):
    cfg, write = pair
    numbered = new_log(MM_TASKS, seed=1, uids=False)
    write(gold=(numbered, None), model=mm_logs["model"])
    assert aggregate(cfg)["Foreign"] == "retain_result"
    numbered["forget_qa"]["generated_text"]["3"][2] = "another truth"
    write(gold=(numbered, None), model=mm_logs["model"])
    with pytest.raises(UserError, match="task forget_qa has other true answers"):
        aggregate(cfg)


def shorter(log, manifest, task, items, expected=6):
    cut = {key: {i: v for i, v in values.items() if int(i) in items} for key, values in log[task].items()}
    tasks = {**manifest["tasks"], task: {**manifest["tasks"][task], "scored": len(items), "expected": expected}}
    return {**log, task: cut}, {**manifest, "tasks": tasks}


def test_incomplete_logs_are_refused_or_compared_on_common_items(pair, mm_logs):
    cfg, write = pair
    part = shorter(*mm_logs["model"], "forget_names", {0, 1, 2, 4})
    other = shorter(*mm_logs["gold"], "forget_names", {1, 2, 3, 4, 5})
    write(gold=other, model=part)
    with pytest.raises(UserError, match=r"incomplete \(forget_names 4/6 items\).*allow_incomplete=true"):
        aggregate(cfg)
    write(gold=other, model=mm_logs["model"])
    with pytest.raises(UserError, match=r"incomplete \(forget_names 5/6 items\)"):
        aggregate(cfg)
    write(gold=other, model=part)
    cfg.allow_incomplete = True
    row = aggregate(cfg)
    assert row["Incomplete"] == "retain_result forget_names 5/6; ckpt_result forget_names 4/6"
    common = shorter(*mm_logs["model"], "forget_names", {1, 2, 4})[0]["forget_names"]
    assert row["ROUGE Forget Names"] == pytest.approx(naive_scores(common, choice=True)[0])
    write(gold=shorter(*mm_logs["gold"], "forget_names", {3, 5}))
    with pytest.raises(UserError, match="task forget_names has no item in common"):
        aggregate(cfg)

"""Which evaluation logs may not be compared, and what is said."""

import pytest

from unlearn.errors import UserError
from unlearn.metrics.aggregate import aggregate
from unlearn.metrics.manifest import FOREIGN_TASKS

MM_TASKS = [name for name in FOREIGN_TASKS if not name.startswith("eval_")]


def shorter(log, manifest, task, items, expected=6):
    cut = {key: {i: v for i, v in values.items() if int(i) in items} for key, values in log[task].items()}
    tasks = {**manifest["tasks"], task: {**manifest["tasks"][task], "scored": len(items), "expected": expected}}
    return {**log, task: cut}, {**manifest, "tasks": tasks}


def test_complete_logs_with_other_items_are_refused(pair, mm_logs):
    cfg, write = pair
    mm_logs["gold"][0]["real_faces"]["uid"]["2"] = "face-x"
    write(**mm_logs)
    with pytest.raises(UserError, match=r"real_faces has 1 items that the other lacks, e.g. real_faces-2"):
        aggregate(cfg)
    write(gold=shorter(*mm_logs["gold"], "forget_names", {0, 1}, expected=2))
    with pytest.raises(UserError, match="task forget_names has 6 and 2 items"):
        aggregate(cfg)


@pytest.mark.parametrize(
    ("key", "value"), [("forget_split", "forget05"), ("retain_split", "retain95"), ("forget_modality", "image")]
)
def test_logs_of_other_splits_are_refused(pair, mm_logs, key, value):
    cfg, write = pair
    log, manifest = mm_logs["gold"]
    write(model=mm_logs["model"], gold=(log, {**manifest, key: value}))
    with pytest.raises(UserError, match=f"cannot be compared: {key} is {mm_logs['model'][1][key]} and {value}"):
        aggregate(cfg)


@pytest.mark.parametrize(("key", "value"), [("version", 2), ("role", "retain"), ("choice", True), ("label", "Other")])
def test_logs_of_other_tasks_are_refused(pair, mm_logs, key, value):
    cfg, write = pair
    given = mm_logs["gold"][1]["tasks"]["forget_qa"]
    message = f"{key} of task forget_qa is {given[key]} and {value}"
    given[key] = value
    write(**mm_logs)
    with pytest.raises(UserError, match=message):
        aggregate(cfg)


def test_other_task_sets_are_refused_with_every_difference(pair, mm_logs, new_manifest):
    cfg, write = pair
    log = {name: entry for name, entry in mm_logs["gold"][0].items() if name != "real_world"}
    write(model=mm_logs["model"], gold=(log, new_manifest(log, forget_split="forget01")))
    with pytest.raises(UserError, match=r"has the tasks real_world; forget_split is forget10 and forget01"):
        aggregate(cfg)


def test_equal_uids_that_are_asked_differently_are_refused(pair, mm_logs):
    cfg, write = pair
    mm_logs["gold"][1]["tasks"]["retain_qa"]["fingerprint"] = "other"
    write(**mm_logs)
    with pytest.raises(UserError, match="items of task retain_qa are asked differently"):
        aggregate(cfg)


def test_equal_uids_of_other_rows_are_refused(pair, mm_logs):
    cfg, write = pair
    rows = mm_logs["gold"][1]["tasks"]["retain_qa"]["rows"]
    rows["path"] = "elsewhere"
    write(**mm_logs)
    assert aggregate(cfg)["Method"] == "npo"  # where they lie does not count
    rows["fingerprint"] = "other"
    write(**mm_logs)
    where = "retain_qa of data and retain_qa of elsewhere"
    with pytest.raises(UserError, match=rf"rows of task retain_qa \({where}\) have different contents"):
        aggregate(cfg)


def test_other_wordings_of_questions_are_refused(pair, mm_logs):
    cfg, write = pair
    mm_logs["gold"][1]["seed"] = 1
    write(**mm_logs)
    with pytest.raises(UserError, match=r"cannot be compared: data.question_seed is 0 and 1\. Evaluate both"):
        aggregate(cfg)


def test_an_unknown_task_needs_a_manifest(pair, new_log):
    cfg, write = pair
    logs = [{"forget_caption": new_log(["forget_captions"], s)["forget_captions"]} for s in (1, 2)]
    write(gold=(logs[0], None), model=(logs[1], None))
    with pytest.raises(
        UserError, match=r'Unknown task .*"forget_caption"; allowed are: .*Did you mean "forget_captions"'
    ):
        aggregate(cfg)

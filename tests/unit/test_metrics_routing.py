"""Precision and recall of a router over the tasks of an evaluation, by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unlearn.metrics.logs import EvalLog, TaskLog, aggregated_from_records
from unlearn.metrics.manifest import FOREIGN_TASKS, Role
from unlearn.metrics.routing import routing_columns


def log(routed):
    tasks = {}
    for name, values in routed.items():
        ids, ones = tuple(map(str, range(len(values)))), np.ones(len(values))
        further = {"routed": np.array(values, dtype=float)}
        tasks[name] = TaskLog(ids, False, ids, None, ones, ones, None, ones, further=further)
    return EvalLog(Path("log"), tasks, None)


ROUTED = {"forget_qa": [1, 1, 0], "forget_captions": [0], "retain_qa": [1, 1, 0], "real_faces": [0, 0, 0, 1]}


def test_precision_and_recall_by_hand():
    row = routing_columns(log(ROUTED), FOREIGN_TASKS)
    assert row == {
        "Routing Precision": pytest.approx(2 / 5),
        "Routing Recall": pytest.approx(2 / 4),
        "Routed Retain": pytest.approx(2 / 3),
        "Routed Real": pytest.approx(1 / 4),
    }


def test_a_task_counts_by_its_role_and_a_probe_for_itself_alone():
    infos = {**FOREIGN_TASKS, "forget_captions": replace(FOREIGN_TASKS["forget_captions"], probe_of="forget_qa")}
    row = routing_columns(log(ROUTED), infos)
    assert row["Routing Recall"] == pytest.approx(2 / 3)
    assert row["Routed Forget Captions"] == 0.0
    assert "Routed Forget QA" not in row


def test_holdout_people_have_a_share_of_their_own():
    infos = {**FOREIGN_TASKS, "holdout_qa": replace(FOREIGN_TASKS["forget_qa"], role=Role.holdout)}
    row = routing_columns(log({**ROUTED, "holdout_qa": [1, 0]}), infos)
    assert (row["Routing Precision"], row["Routed Holdout"]) == (pytest.approx(2 / 5), 0.5)


def test_where_nothing_was_routed_there_is_no_precision():
    assert routing_columns(log({"forget_qa": [0], "retain_qa": [0]}), FOREIGN_TASKS) == {
        "Routing Precision": None,
        "Routing Recall": 0.0,
        "Routed Retain": 0.0,
    }


def test_a_model_without_router_has_no_such_columns():
    plain = log({"forget_qa": [0]})
    plain.tasks["forget_qa"].further.clear()
    assert routing_columns(plain, FOREIGN_TASKS) == {}


def test_the_log_says_1_or_0_and_nothing_without_a_router():
    answer = {"text": "x", "logp": [-1.0, -1.0], "mu": [-1.0, -1.0], "sigma": [1.0, 1.0], "hit": [1, 1]}
    record = {"uid": "u", "group": "g", "prompt": "p", "generated": "x"}
    record["answers"] = {"true": answer, "paraphrase": None, "wrong": [answer]}
    given = [{**record, "routed": True}, {**record, "routed": False}]
    assert aggregated_from_records(given)["routed"] == {"0": 1, "1": 0}
    assert "routed" not in aggregated_from_records([record])

"""Scores of tasks and sets, and model utility."""

import math

import numpy as np
import pytest

from unlearn.evaluation.tasks import load_tasks
from unlearn.metrics.logs import TaskLog
from unlearn.metrics.manifest import FOREIGN_TASKS, Role, TaskInfo
from unlearn.metrics.sets import UTILITY_TASKS, TaskScores, model_utility, set_score, task_scores

LOG2 = math.log(2)
OPEN = TaskInfo("Forget", Role.forget, choice=False)
CHOICE = TaskInfo("Names", Role.retain, choice=True)


def log(loss, paraphrase, wrong, rouge):
    arrays = [np.array(values, dtype=float) for values in (loss, paraphrase, rouge)]
    ids = tuple(map(str, range(len(loss))))
    return TaskLog(
        ids, False, ids, None, arrays[0], arrays[1], tuple(np.array(w, dtype=float) for w in wrong), arrays[2]
    )


TWO = log([0, LOG2], [LOG2, 4 * LOG2], [[3 * LOG2, 3 * LOG2], [LOG2]], [1.0, 0.5])
"""R is 4 and 1/8; p is 1 and 1/2, among the options 1 / (1 + 1/4) and 1/2."""


def test_task_scores_by_hand():
    scores = task_scores(TWO, OPEN)
    assert scores.knows() == pytest.approx((0.75, 0.75, (0.75 + 0) / 2))
    assert scores.truth_ratio(Role.forget) == pytest.approx((1 / 4 + 1 / 8) / 2)
    assert scores.truth_ratio(Role.retain) == scores.truth_ratio(Role.real) == pytest.approx(0.375)
    assert task_scores(TWO, CHOICE).probability == pytest.approx((0.8 + 0.5) / 2)


def test_task_scores_are_means_over_items_not_ratios_of_means():
    # Averaging the losses over the set first would give R = 2^((3 + 1)/2 - (1 + 4)/2) and hide the known item.
    assert task_scores(TWO, OPEN).knowledge != pytest.approx(max(0, 1 - 2**0.5))


def test_task_scores_at_their_limits():
    perfect = log([0.0], [0.0], [[900.0]], [1.0])
    assert task_scores(perfect, CHOICE).knows() == pytest.approx((1, 1, 1))
    assert task_scores(perfect, OPEN).closeness == pytest.approx(0)
    nothing = log([900.0], [900.0], [[0.0]], [0.0])
    assert task_scores(nothing, CHOICE).knows() == pytest.approx((0, 0, 0))


def scores(rouge, probability, knowledge, closeness=0.123):
    return TaskScores(rouge, probability, knowledge, closeness)


def test_set_score():
    # 1 / (mean of 1, 2, 4, 1, 2, 2) = 6 / 12; closeness has no part in it.
    assert set_score([scores(1, 0.5, 0.25), scores(1, 0.5, 0.5)]) == pytest.approx(0.5)
    tasks = [scores(0.1 * i, 0.2 * i, 0.15 * i) for i in range(1, 5)]
    reciprocal = sum(1 / v for t in tasks for v in (t.rouge, t.probability, t.knowledge))
    assert set_score(tasks) == pytest.approx(12 / reciprocal)
    assert set_score([scores(1, 1, 0)]) == 0.0
    assert set_score([]) is None


@pytest.mark.parametrize(("names", "numbers"), zip(UTILITY_TASKS, (9, 12, 9), strict=True))
def test_model_utility_takes_the_right_numbers(names, numbers):
    tasks = {name: scores(0.5, 0.25, 0.125) for name in names}
    assert 3 * len(names) == numbers
    assert model_utility(tasks) == pytest.approx(3 / (2 + 4 + 8))
    first = {**tasks, names[0]: scores(1, 1, 1)}
    assert model_utility(first) == pytest.approx(numbers / (14 * (len(names) - 1) + 3))
    # What is forgotten, and tasks that are not in the definition, change nothing.
    others = dict.fromkeys(("forget_captions", "forget_qa", "retain_heldout_names"), scores(0, 0, 0))
    assert model_utility({**tasks, **others}) == pytest.approx(3 / 14)
    assert model_utility({name: tasks[name] for name in names[1:]}) is None
    assert model_utility({**tasks, names[-1]: scores(0, 1, 1)}) == 0.0


def test_utility_tasks_are_not_to_be_forgotten():
    tofu, *own = UTILITY_TASKS
    roles = [FOREIGN_TASKS[name].role for name in tofu]
    roles += [task.role for task in load_tasks([name for names in own for name in names])]
    assert set(roles) == {Role.retain, Role.real}

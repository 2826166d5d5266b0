"""The scores of single items that a distance compares: each in [0, 1], high where the model knows."""

from collections.abc import Mapping
from enum import Enum

from unlearn.metrics import scores
from unlearn.metrics.logs import TaskLog
from unlearn.metrics.manifest import TaskInfo
from unlearn.metrics.scores import Floats


class Score(Enum):
    """What is scored, with its name in tables.

    probability  of the true answer; among the options where the task is multiple choice
    rouge        ROUGE-L recall of the greedy answer
    preference   q = R / (1 + R), of the true answer in other words over wrong ones
    """

    probability = "Prob."
    rouge = "ROUGE"
    preference = "q"


def sample_probability(task: TaskLog, info: TaskInfo) -> Floats:
    """Return [n] the probability of the true answer, among the options where the task is multiple choice."""
    if info.choice:
        assert task.wrong_losses is not None, "a choice has wrong answers"
        return scores.choice_probability(task.loss, task.wrong_losses)
    return scores.probability(task.loss)


def sample_scores(task: TaskLog, info: TaskInfo) -> Mapping[Score, Floats]:
    """Return the scores [n] in [0, 1] of a task's items; without wrong answers there is no preference."""
    log_ratio = task.log_ratio
    found = {Score.probability: sample_probability(task, info), Score.rouge: task.rouge}
    return found if log_ratio is None else {**found, Score.preference: scores.preference(log_ratio)}

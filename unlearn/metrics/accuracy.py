"""How often a model would choose the true answer."""

import numpy as np

from unlearn.metrics.logs import TaskLog


def choice_accuracy(task: TaskLog) -> float:
    """Return the share of items whose true answer has a lower loss (nats per token) than every wrong one, in [0, 1].

    A tie counts as wrong. Chance is the mean of 1 / (1 + K_i) for K_i wrong answers.
    """
    hits = [true < np.min(wrong) for true, wrong in zip(task.loss, task.wrong_losses, strict=True)]
    return float(np.mean(hits))


def choice_chance(task: TaskLog) -> float:
    """Return the accuracy of a guess among all answers of an item, in (0, 1)."""
    return float(np.mean([1 / (1 + len(wrong)) for wrong in task.wrong_losses]))

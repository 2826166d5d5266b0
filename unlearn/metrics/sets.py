"""Scores of a task, of a set of tasks (real, retain, forget), and model utility."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from unlearn.metrics import scores
from unlearn.metrics.logs import TaskLog
from unlearn.metrics.manifest import Role, TaskInfo
from unlearn.metrics.samples import sample_probability
from unlearn.metrics.scores import Floats
from unlearn.metrics.statistics import harmonic_mean

UTILITY_TASKS = (
    ("eval_real_author_wo_options.json", "eval_real_world_wo_options.json", "eval_log.json"),
    ("real_faces", "real_world", "retain_captions", "retain_names"),
    ("real_authors", "world_facts", "retain_qa"),
)
"""The tasks of model utility: of TOFU's logs (9 numbers), of multimodal logs (12) and of a language model's (9)."""


@dataclass(frozen=True)
class TaskScores:
    """Means over a task's items, each in [0, 1].

    rouge        ROUGE-L recall of the greedy answer
    probability  of the true answer; among the options where the task is multiple choice
    knowledge    mean of max(0, 1 - 1/R), None without wrong answers
    closeness    mean of min(R, 1/R), None without wrong answers
    """

    rouge: float
    probability: float
    knowledge: float | None
    closeness: float | None

    def knows(self) -> list[float]:
        """Return the scores that are high where the model knows: ROUGE, probability, and max(0, 1 - 1/R) if any."""
        known = [] if self.knowledge is None else [self.knowledge]
        return [self.rouge, self.probability, *known]

    def truth_ratio(self, role: Role) -> float | None:
        """Return TOFU's truth ratio: min(R, 1/R) on a forget set, max(0, 1 - 1/R) on the others."""
        return self.closeness if role is Role.forget else self.knowledge


def task_scores(task: TaskLog, info: TaskInfo) -> TaskScores:
    """Return the means over the n items of a task (TOFU, arXiv:2401.06121, section 2.2), in [0, 1]."""
    return mean_scores(task.rouge, sample_probability(task, info), task.log_ratio)


def mean_scores(rouge: Floats, probability: Floats, log_ratio: Floats | None) -> TaskScores:
    """Return the means of ROUGE [n], probability [n] and of what is made of log R [n], None without wrong answers."""
    ratios = (None, None) if log_ratio is None else (scores.knowledge(log_ratio), scores.closeness(log_ratio))
    means = (rouge, probability, *ratios)
    return TaskScores(*(None if values is None else float(np.mean(values)) for values in means))


def set_score(tasks: Iterable[TaskScores]) -> float | None:
    """Return the harmonic mean over (tasks of a set x {ROUGE, probability, max(0, 1 - 1/R)}), None without tasks.

    The set means "Real", "Retain" and "Forget" of CLEAR (Dontsov et al. 2024, arXiv:2410.18057), with the same three
    scores on every set, so that high always means "knows". In [0, 1]; any 0 gives 0.
    """
    numbers = [number for task in tasks for number in task.knows()]
    return harmonic_mean(numbers) if numbers else None


def model_utility(tasks: Mapping[str, TaskScores]) -> float | None:
    """Return TOFU's model utility in [0, 1] (arXiv:2401.06121, section 2.2), None where a task of it is absent.

    The harmonic mean of ROUGE, probability and max(0, 1 - 1/R) on real authors, world facts and the retain set; for
    multimodal logs on real faces, real world, retain captions and retain names.
    """
    for names in UTILITY_TASKS:
        if set(names) <= set(tasks):
            return set_score(tasks[name] for name in names)
    return None

"""What CLEAR's published code computes in place of its metrics, to compare with its tables and for nothing else.

It differs from the definitions (Dontsov et al. 2024, arXiv:2410.18057; TOFU, Maini et al. 2024, arXiv:2401.06121):
    truth ratio      the losses of all wrong answers of a set become one number, so an item's own wrong answers drop out
    ROUGE            of answers generated without the picture
    forget quality   1 - Jensen-Shannon distance of two vectors of items that are no distributions
    set means        probability and truth ratio alone; on the forget set min(R, 1/R), which rises with forgetting while
                     the probability falls: a model that memorised more can come out ahead
    utility          over whatever was evaluated and is not to be forgotten
"""

from collections.abc import Iterable, Mapping

import numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax

from unlearn.config.schema import Modality
from unlearn.errors import UserError
from unlearn.metrics.logs import EvalLog, TaskLog
from unlearn.metrics.manifest import Role, TaskInfo
from unlearn.metrics.samples import sample_probability
from unlearn.metrics.scores import Floats
from unlearn.metrics.sets import TaskScores, mean_scores
from unlearn.metrics.statistics import harmonic_mean


def check_blind(log: EvalLog, infos: Mapping[str, TaskInfo]) -> None:
    """Raise UserError where a task with pictures has no answers that were generated without them."""
    counted = [n for n in log.tasks if infos[n].modality is Modality.image and infos[n].probe_of is None]
    seen = [name for name in counted if log.tasks[name].blind_rouge is None]
    if seen:
        raise UserError(
            f"{log.path} has no answers without the picture of {', '.join(seen)}, which metrics=released needs; "
            "evaluate again with metrics=released, or aggregate with metrics=correct."
        )


def task_scores(task: TaskLog, info: TaskInfo) -> TaskScores:
    """Return the published means over the n items of a task, in [0, 1]."""
    rouge = task.rouge if task.blind_rouge is None else task.blind_rouge
    return mean_scores(rouge, sample_probability(task, info), log_truth_ratio(task))


def log_truth_ratio(task: TaskLog) -> Floats | None:
    """Return [n] log R with the mean loss of all wrong answers of the set in place of the item's own, None without."""
    return None if task.wrong_losses is None else np.mean(np.concatenate(task.wrong_losses)) - task.paraphrase_loss


def forget_quality(model: TaskLog, gold: TaskLog) -> float:
    """Return 1 - sqrt(JSD) in nats of the vectors R [n] of model and gold, each divided by its sum.

    Item is compared with item as if items were outcomes. 1 for equal vectors, 0.7 to 0.9 for noise, never below
    1 - sqrt(log 2) = 0.167. Both logs must hold the items in the same order.
    """
    # R divided by its sum is softmax(log R), where the set's one number cancels and no exp overflows.
    return 1.0 - float(jensenshannon(*(softmax(-task.paraphrase_loss) for task in (model, gold))))


def set_score(tasks: Iterable[TaskScores], role: Role) -> float | None:
    """Return the harmonic mean over (tasks of a set x {probability, truth ratio}), None without tasks."""
    numbers = [n for task in tasks for n in (task.probability, task.truth_ratio(role)) if n is not None]
    return harmonic_mean(numbers) if numbers else None

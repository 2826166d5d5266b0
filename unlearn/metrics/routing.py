"""How well a router tells prompts about what is to be forgotten from all others, on the evaluation's own prompts."""

from collections.abc import Mapping

import numpy as np

from unlearn.metrics.logs import ROUTED, EvalLog, TaskLog
from unlearn.metrics.manifest import COMPARED, Role, TaskInfo
from unlearn.metrics.scores import Floats
from unlearn.metrics.table import Value

OTHERS = {"Routed Retain": Role.retain, "Routed Real": Role.real, "Routed Holdout": Role.holdout}


def routing_columns(log: EvalLog, infos: Mapping[str, TaskInfo]) -> dict[str, Value]:
    """Return precision, recall and the shares of other sets that were routed; nothing for a model without a router.

    Over the items of all tasks that count in a set: precision is the share of forget items among those that were
    routed (None where none was), so it falls with the size of the other sets; recall is the share of the forget items
    that was routed. Holdout people, whom the model never met either way, have no part in precision. The share of every
    probe stands beside them: a probe's wording is what the router was not fitted on.
    """
    routed = {role: _routed(log, infos, role) for role in Role}
    if not any(map(len, routed.values())):
        return {}
    hits, all_routed = routed[Role.forget].sum(), sum(routed[role].sum() for role in COMPARED)
    shares = {"Routing Recall": Role.forget, **OTHERS}
    probes = [
        (infos[name].label, task.further[ROUTED]) for name, task in log.tasks.items() if _probes(task, infos[name])
    ]
    return {
        "Routing Precision": float(hits / all_routed) if all_routed else None,
        **{column: float(routed[role].mean()) for column, role in shares.items() if len(routed[role])},
        **{f"Routed {label}": float(values.mean()) for label, values in probes},
    }


def _routed(log: EvalLog, infos: Mapping[str, TaskInfo], role: Role) -> Floats:
    """Return 1 or 0 of every item of a set's tasks."""
    tasks = [task.further for name, task in log.tasks.items() if infos[name].counts_as(role)]
    return np.concatenate([np.zeros(0), *(further[ROUTED] for further in tasks if ROUTED in further)])


def _probes(task: TaskLog, info: TaskInfo) -> bool:
    """Tell whether a task asks another one's items in another way, of a model behind a router."""
    return info.probe_of is not None and ROUTED in task.further

"""Hand-made evaluation logs for the tests of the distance to gold."""

from pathlib import Path

import numpy as np
import pytest
from hand_made import provenance

from unlearn.config.schema import Metrics
from unlearn.metrics.logs import EvalLog, TaskLog
from unlearn.metrics.manifest import FOREIGN_TASKS, Manifest
from unlearn.metrics.provenance import read_provenance

TASKS = ("forget_captions", "forget_names", "retain_captions", "real_world")


def make_task(probability, rouge=None, preference=None, groups=None):
    """Return the log of n items with these scores: two wrong answers each, of equal loss, and a paraphrase."""
    loss = -np.log(np.asarray(probability, dtype=float))
    n = len(loss)
    q = np.full(n, 0.5) if preference is None else np.asarray(preference, dtype=float)
    ids = tuple(map(str, range(n)))
    return TaskLog(
        items=ids,
        by_uid=True,
        groups=ids if groups is None else tuple(groups),
        truths=None,
        loss=loss,
        paraphrase_loss=2.0 - np.log(q / (1 - q)),
        wrong_losses=tuple(np.full(2, 2.0) for _ in ids),
        rouge=np.full(n, 0.5) if rouge is None else np.asarray(rouge, dtype=float),
    )


def make_eval(tasks, name="x", **changes):
    infos = {task: FOREIGN_TASKS[task] for task in tasks}
    values = {"forget_split": "forget10", "retain_split": "retain90", "forget_modality": "both", "metrics_version": 1}
    values["metrics"] = Metrics.correct
    made = read_provenance(provenance(), name)
    manifest = Manifest(**{**values, "tasks": infos, "seed": 0, "cost": {}, "provenance": made, **changes})
    return EvalLog(Path(name), dict(tasks), manifest)


def make_random(seed, people=12, rows=3, shift=0.0, tasks=TASKS):
    """Return the log of a model with random scores around people's own; `shift` moves what is to be forgotten."""
    rng = np.random.default_rng(seed)
    made = {}
    for task in tasks:
        kind = task.split("_")[0]
        groups = [f"{kind} {p}" for p in range(people) for _ in range(rows)]
        moved = shift if kind == "forget" else 0.0
        scores = [
            np.clip(
                np.repeat(rng.uniform(0.1, 0.5, people), rows) + rng.uniform(0, 0.1, people * rows) + moved, 0, 0.99
            )
            for _ in range(3)
        ]
        made[task] = make_task(*scores, groups)
    return make_eval(made, str(seed))


@pytest.fixture
def new_task():
    return make_task


@pytest.fixture
def new_eval():
    return make_eval


@pytest.fixture
def new_random():
    return make_random

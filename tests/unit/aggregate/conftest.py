"""Hand-made evaluation logs for the tests of aggregate_eval_stat."""

import json
import random

import pytest
from hand_made import provenance, rows

from unlearn.metrics.aggregate import AggregateConfig
from unlearn.metrics.manifest import FOREIGN_TASKS, FORMAT

MM_TASKS = [name for name in FOREIGN_TASKS if not name.startswith("eval_")]


def make_log(tasks, seed, items=6, uids=True):
    """Return a log of random losses with 1 to 4 wrong answers an item; truths and uids are those of every seed."""
    rng = random.Random(seed)

    def entry(task):
        ids = [str(i) for i in range(items)]
        keys = {
            "avg_gt_loss": {i: rng.uniform(0.1, 2) for i in ids},
            "avg_paraphrased_loss": {i: rng.uniform(0.1, 2) for i in ids},
            "average_perturb_loss": {i: [rng.uniform(0.5, 4) for _ in range(rng.randint(1, 4))] for i in ids},
            "rougeL_recall": {i: rng.choice([0.25, 0.5, 1.0]) for i in ids},
            "generated_text": {i: ["?", "so", f"{task} {i}"] for i in ids},
        }
        return {**keys, "uid": {i: f"{task}-{i}" for i in ids}} if uids else keys

    return {task: entry(task) for task in tasks}


def make_manifest(log, **changes):
    tasks = {
        name: {
            "version": 1,
            "role": FOREIGN_TASKS[name].role.value,
            "choice": FOREIGN_TASKS[name].choice,
            "modality": FOREIGN_TASKS[name].modality.value,
            "label": FOREIGN_TASKS[name].label,
            "expected": len(entry["avg_gt_loss"]),
            "scored": len(entry["avg_gt_loss"]),
            "fingerprint": name,
            "rows": rows(name),
        }
        for name, entry in log.items()
    }
    manifest = {
        "format": FORMAT,
        "metrics_version": 1,
        "metrics": "correct",
        "forget_split": "forget10",
        "retain_split": "retain90",
        "forget_modality": "both",
        "seed": 0,
        "tasks": tasks,
        "provenance": provenance(),
        "cost": {"wall_seconds": 12.5, "peak_memory_bytes": 3 * 2**20, "forwards": 48},
    }
    return {**manifest, **changes}


@pytest.fixture
def pair(tmp_path):
    """Return a config over two logs, and what writes them: {"gold" | "model": (log, manifest or None)} -> files."""

    def write(**logs):
        for name, (log, manifest) in logs.items():
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            (folder / "eval_log_aggregated.json").write_text(json.dumps(log))
            (folder / "manifest.json").unlink(missing_ok=True)
            if manifest is not None:
                (folder / "manifest.json").write_text(json.dumps(manifest))

    paths = [str(tmp_path / name / "eval_log_aggregated.json") for name in ("gold", "model")]
    return AggregateConfig(*paths, "npo", "who", str(tmp_path / "row.csv")), write


@pytest.fixture
def mm_logs():
    gold, model = make_log(MM_TASKS, seed=1), make_log(MM_TASKS, seed=2)
    return {"gold": (gold, make_manifest(gold)), "model": (model, make_manifest(model))}


@pytest.fixture
def new_log():
    return make_log


@pytest.fixture
def new_manifest():
    return make_manifest

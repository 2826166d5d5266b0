"""Provenance of hand-made evaluations: what a manifest says that no model stands behind."""

from copy import deepcopy

FAMILY = {"name": "tiny", "fingerprint": "f0"}
ROOT = {"path": "pretrained", "fingerprint": "p0", "run": None}


def run(script="finetune", seed=0, method=None, settings=None, **splits):
    """Return what a run wrote of itself."""
    return {
        "script": script,
        "method": method or {"name": "finetune"},
        "splits": {**(splits or {"split": "full"}), "forget_modality": "both"},
        "settings": {"lr": 1e-4, **(settings or {})},
        "seed": seed,
        "family": FAMILY,
        "data": {"train": {"samples": 4, "fingerprint": "d0"}},
        "version": "1",
        "commit": "c0",
    }


def link(name, said):
    """Return the checkpoint of a run, whose name stands for its content too."""
    return {"path": f"runs/{name}", "fingerprint": name, "run": said}


def base(seed=0):
    """Return the lineage of a model that was finetuned on everyone."""
    return [link(f"full{seed}", run(seed=seed)), ROOT]


def gold(seed=0):
    """Return the lineage of a model that was finetuned on the retain split."""
    return [link(f"gold{seed}", run(seed=seed, split="retain90")), ROOT]


def unlearned(name="npo", seed=0, **settings):
    """Return the lineage of an unlearned base model."""
    splits = {"forget_split": "forget10", "retain_split": "retain90"}
    said = run("forget", seed, {"name": name, "beta": 0.1}, settings, **splits)
    told = "".join(f" {key}={value}" for key, value in settings.items())
    return [link(f"{name}{seed}{told}", said), *base()]


def provenance(lineage=None):
    """Return the provenance of an evaluation."""
    return deepcopy({"version": "1", "commit": None, "family": FAMILY, "lineage": lineage or base()})


def rows(task):
    """Return where a task's rows come from."""
    return {"path": "data", "config": task, "fingerprint": f"rows {task}"}

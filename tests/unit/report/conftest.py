"""A hand-made experiment: a dataset of a few people, and the evaluation logs and runs of seven models."""

import json
import math
import random

import hand_made
import pytest
from PIL import Image

from unlearn.config.schema import Data
from unlearn.evaluation.items import build_items
from unlearn.evaluation.tasks import load_tasks
from unlearn.metrics.manifest import FORMAT
from unlearn.report.__main__ import main
from unlearn.report.config import ReportConfig

EVIL = "<script>alert('&')</script>"
"""A name that would run if it were not escaped."""
FORGOTTEN = [EVIL, *(f"Fay Number{i}" for i in range(23))]
KEPT = [f"Kit Number{i}" for i in range(24)]
TASKS = ("forget_captions", "forget_names", "forget_qa", "retain_captions", "retain_names", "retain_qa", "real_faces")
PROBES = ("forget_names_other_picture", "forget_names_prefix", "retain_qa_role_play")
LEVELS = {
    "pretrained": {"forget": 0.1, "retain": 0.1, "real": 0.8},
    "base": {"forget": 0.9, "retain": 0.9, "real": 0.8},
    "gold": {"forget": 0.2, "retain": 0.9, "real": 0.8},
    "gold_seed1": {"forget": 0.22, "retain": 0.88, "real": 0.8},
    "gold_seed2": {"forget": 0.18, "retain": 0.9, "real": 0.78},
    "npo": {"forget": 0.3, "retain": 0.8, "real": 0.75},
    "grad_ascent": {"forget": 0.02, "retain": 0.1, "real": 0.1},
}
"""Roughly the probability of a true answer, by model and role."""
GOLDS = ["gold", "gold_seed1", "gold_seed2"]


def write_dataset(folder, called="{}"):
    """Write two pictures and two questions a person; `called` is what a question calls its person."""
    pictures, texts = folder / "pictures", folder / "texts"
    for path in (pictures, texts):
        path.mkdir(parents=True)
    for split, names in (("forget10", FORGOTTEN), ("retain", KEPT)):
        shown = [_shown(pictures, f"{split}-{i}-{k}", name, 2 * i + k) for i, name in enumerate(names) for k in (0, 1)]
        asked = [row for name in names for row in _asked(name, called.format(name))]
        _rows(pictures / f"{split}_perturbed.json", shown)
        _rows(texts / f"{split}_perturbed.json", asked)
    strangers = [row for i in range(24) for row in _asked(f"Hal Number{i}", f"Hal Number{i}")]
    _rows(texts / "holdout10.json", [{key: row[key] for key in ("question", "answer")} for row in strangers])
    faces = [{**_shown(pictures, f"face-{i}", f"Star {i}", i), "answer": f"Star {i}"} for i in range(20)]
    _rows(pictures / "real_faces.json", [{**row, "options": ["Somebody", "Nobody"]} for row in faces])
    return Data(name="tiny", path=str(pictures), text_path=str(texts), qa_per_person=2)


def _shown(folder, file, name, i):
    Image.new("RGB", (600, 600), (5 * i, 90, 160)).save(folder / f"{file}.png")
    texts = {"caption": f"{name} smiles {i}.", "paraphrased_caption": f"So: {name}.", "name": name}
    wrong = {"perturbed_captions": ["A bench.", "A tree."], "perturbed_names": ["Zoe", "Yan"]}
    return {"image": f"{file}.png", **texts, **wrong}


def _asked(name, called):
    more = {"paraphrased_answer": "So there.", "perturbed_answer": ["In no town.", "Elsewhere."]}
    for question in ("Where does {} live?", "What does {} do?"):
        yield {"question": question.format(called), "answer": f"Well {len(name)}, {question[:4]}", **more}


def _rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_run(folder, name, items, data, metrics):
    """Write a model's run: evaluation, cost, training log and config."""
    rng = random.Random(name)
    results = folder / "eval_results"
    results.mkdir(parents=True)
    tasks = {task.name: task for task in load_tasks(list(items))}
    log = {task: _entry(items[task], LEVELS[name].get(tasks[task].role.value, 0.2), rng) for task in items}
    if any(task.members is not None for task in tasks.values()):
        for entry in log.values():
            entry["mia_min_k"] = {i: 2 * loss for i, loss in entry["avg_gt_loss"].items()}
            entry["exact_memorization"] = {i: math.exp(-loss) for i, loss in entry["avg_gt_loss"].items()}
    (results / "eval_log_aggregated.json").write_text(json.dumps(log))
    (results / "manifest.json").write_text(json.dumps({**_manifest(tasks, items, metrics), **_provenance(name)}))
    if name == "pretrained":
        return
    cost = {"wall_seconds": 12.5, "peak_memory_bytes": 3 * 2**20, "forwards": 48}
    (folder / "done.json").write_text(json.dumps({"identity": "x", "cost": cost}))
    (folder / "config.yaml").write_text(json.dumps({"data": vars(data)}))
    rest = {"epoch": 0, "loss": 3.0, "grad_norm": 1, "lr": 1e-4}
    lines = [{"step": i, "forget_0": 2.0 - i, "retain_1": 1.0, **rest} for i in range(1, 9)]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _entry(items, level, rng):
    ids = {str(i): item for i, item in enumerate(items)}

    def loss():
        return -math.log(min(0.99, max(0.01, level + rng.uniform(-0.05, 0.05))))

    return {
        "avg_gt_loss": {i: loss() for i in ids},
        "avg_paraphrased_loss": {i: loss() for i in ids},
        "average_perturb_loss": {i: [rng.uniform(1, 2) for _ in item.wrong] for i, item in ids.items()},
        "rougeL_recall": {i: rng.choice([0.0, 0.25, 0.5, 1.0]) for i in ids},
        "rougeL_recall_blind": dict.fromkeys(ids, 0.25),
        "generated_text": {i: [item.question, f"so {EVIL} says", item.answer] for i, item in ids.items()},
        "uid": {i: item.uid for i, item in ids.items()},
        "group": {i: item.group for i, item in ids.items()},
    }


def _manifest(tasks, items, metrics):
    infos = {
        name: {
            "version": 1, "role": task.role.value, "choice": task.choice, "label": task.label,
            "modality": task.modality.value, "probe_of": task.probe_of,
            "members": task.members,
            "expected": len(items[name]), "scored": len(items[name]), "fingerprint": name,
            "rows": hand_made.rows(name),
        }
        for name, task in tasks.items()
    }  # fmt: skip
    splits = {"forget_split": "forget10", "retain_split": "retain90", "forget_modality": "both"}
    cost = {"wall_seconds": 4.0, "peak_memory_bytes": 2**20, "forwards": 7}
    mode = {"format": FORMAT, "metrics_version": 1, "metrics": metrics, "seed": 0}
    return {**mode, **splits, "tasks": infos, "cost": cost}


def _provenance(name):
    """Return what made a model of LEVELS."""
    known = {"pretrained": [hand_made.ROOT], "base": hand_made.base()}
    golds = {gold: hand_made.gold(seed) for seed, gold in enumerate(GOLDS)}
    lineage = {**known, **golds}.get(name, hand_made.unlearned(name))
    return {"provenance": hand_made.provenance(lineage)}


def write_experiment(root, called="{}", models=tuple(LEVELS), metrics="correct", tasks=TASKS):
    data = write_dataset(root / "data", called)
    items = {task.name: build_items(task, data, "forget10", 0) for task in load_tasks(list(tasks))}
    for name in models:
        write_run(root / name, name, items, data, metrics)
    return root


@pytest.fixture(scope="session")
def experiment(tmp_path_factory):
    """Folder of the experiment with one run per model (read only)."""
    return write_experiment(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def probed(tmp_path_factory):
    """Folder of the same experiment, in which probes were evaluated too (read only)."""
    return write_experiment(tmp_path_factory.mktemp("probed"), tasks=(*TASKS, *PROBES))


@pytest.fixture(scope="session")
def attacked(tmp_path_factory):
    """Folder of the same experiment, in which holdout people were asked too (read only)."""
    return write_experiment(tmp_path_factory.mktemp("attacked"), tasks=(*TASKS, "holdout_qa"))


@pytest.fixture(scope="session")
def blind(tmp_path_factory):
    """Folder of a smaller experiment that was evaluated for the published metrics too (read only)."""
    return write_experiment(tmp_path_factory.mktemp("blind"), models=["base", "gold", "npo"], metrics="released")


@pytest.fixture(scope="session")
def nameless(tmp_path_factory):
    """Folder of base alone, whose questions in words name nobody (read only)."""
    return write_experiment(tmp_path_factory.mktemp("nameless"), "this author", ["base"])


def write_sweep(folder, experiment):
    """Write a sweep of npo and grad_ascent, three trials each, of which the second is chosen."""
    folder.mkdir()
    header = "method,trial,lr,num_epochs,D Forget,D Retain,D Real,D Max,chosen,folder"
    lines = [header]
    methods = ("npo", "grad_ascent")
    for method in methods:
        for trial, (forget, retain) in enumerate([(0.3, 0.1), (0.2, 0.15), (0.4, 0.4)]):
            chosen, numbers = trial == 1, f"{forget},{retain},0.05,{max(forget, retain)}"
            lines.append(
                f"{method},{trial},{10 ** -(4 + trial)},5,{numbers},{str(chosen).lower()},{experiment / method}"
            )
    lines[-1] = f"grad_ascent,2,0.000001,5,,,,,false,{experiment / 'grad_ascent'}"
    (folder / "trials.csv").write_text("\n".join(lines) + "\n")
    chosen = {m: {"folder": str(experiment / m), "overrides": ["lr=1e-5", "num_epochs=5"]} for m in methods}
    (folder / "selection.json").write_text(json.dumps({"seed": 3, "methods": chosen}))


@pytest.fixture
def sweep(experiment, tmp_path):
    """Folder of a finished sweep."""
    write_sweep(tmp_path / "sweep", experiment)
    return tmp_path / "sweep"


@pytest.fixture(scope="session")
def experiment_config(experiment):
    """What makes a config of the experiment's report: (folder, **changes of keys)."""

    def make(folder, root=experiment, **changes):
        models = {name: str(root / name) for name in LEVELS}
        keys = {"golds": list(GOLDS), "people": 1, "submitted_by": "me", "save_dir": str(folder), **changes}
        return ReportConfig(models, **keys)

    return make


@pytest.fixture(scope="session")
def report_of(experiment_config, tmp_path_factory):
    """What makes the report of an experiment's folder and returns its config."""

    def make(root):
        cfg = experiment_config(tmp_path_factory.mktemp("report"), root=root)
        main(cfg)
        return cfg

    return make


@pytest.fixture(scope="session")
def written(experiment_config, tmp_path_factory):
    """Folder of the experiment's report, made once (read only)."""
    folder = tmp_path_factory.mktemp("written")
    main(experiment_config(folder, people=2, submitted_by="<b>me</b>"))
    return folder

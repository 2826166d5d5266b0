"""docs/metrics.md: every column that it names is one of a row of results."""

import json
import random
import re
from pathlib import Path

import hand_made
import pytest

from unlearn.evaluation.tasks import load_tasks
from unlearn.metrics.aggregate import AggregateConfig, aggregate
from unlearn.metrics.logs import aggregated_from_records
from unlearn.metrics.manifest import FORMAT, METRICS_VERSION

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
TASKS = ("forget_qa", "retain_qa", "real_authors", "world_facts", "holdout_qa")


def record(task, number, rng):
    def answer():
        tokens = {key: [rng.uniform(-3, -1) for _ in range(5)] for key in ("logp", "mu")}
        return {"text": rng.choice("abc"), **tokens, "sigma": [1.0] * 5, "hit": [1, 0, 1, 1, 1]}

    answers = {"true": answer(), "paraphrase": None, "wrong": [answer() for _ in task.wrong_columns]}
    if task.paraphrase_column is not None:
        answers["paraphrase"] = answer()
    names = {"uid": f"{task.name}-{number}", "group": f"{task.name}-{number}", "prompt": "?", "generated": "a b c d e"}
    return {**names, "answers": answers, "gradient_norm": rng.random(), "routed": rng.random() < 0.5}


def write(folder, seed):
    """Write the log of an evaluation of TOFU's tasks and of holdout people, with all numbers that there may be."""
    rng = random.Random(seed)
    folder.mkdir()
    tasks = load_tasks(TASKS)
    log = {task.name: aggregated_from_records(record(task, i, rng) for i in range(120)) for task in tasks}
    keys = ("label", "choice", "version", "members", "probe_of")
    infos = {
        task.name: {
            **{key: getattr(task, key) for key in keys}, "role": task.role.value, "modality": task.modality.value,
            "expected": 120, "scored": 120, "fingerprint": "f", "rows": hand_made.rows(task.name),
        }
        for task in tasks
    }  # fmt: skip
    splits = {"forget_split": "forget10", "retain_split": "retain90", "forget_modality": "both", "metrics": "correct"}
    versions = {"format": FORMAT, "metrics_version": METRICS_VERSION, "seed": 0, "tasks": infos}
    versions |= {"provenance": hand_made.provenance(), "cost": {}}
    (folder / "eval_log_aggregated.json").write_text(json.dumps(log))
    (folder / "manifest.json").write_text(json.dumps({**versions, **splits}))
    return str(folder / "eval_log_aggregated.json")


@pytest.fixture(scope="module")
def row(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    gold, model, other = (write(folder / name, seed) for seed, name in enumerate(("gold", "model", "other")))
    return aggregate(AggregateConfig(gold, model, "m", "who", "row.csv", reference_result=other))


def lines():
    table = [line for line in DOCS.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


@pytest.mark.parametrize("line", lines(), ids=lambda line: line[1])
def test_every_column_exists_and_has_a_formula_and_a_paper(row, line):
    assert len(line) == 5
    named = re.findall(r"`([^`]+)`", line[1])
    assert named
    assert [column for column in named if row.get(column) is None] == []
    assert line[2]
    assert re.search(r"\[(\d{4}\.\d{5})\]\(https://arxiv.org/abs/\1\)", line[3])


def test_no_number_of_an_attack_or_of_memorisation_is_undocumented(row):
    documented = {column for line in lines() for column in re.findall(r"`([^`]+)`", line[1])}
    # One attack stands for all at the rates of false positives.
    kinds = ("AUC", "PrivLeak", "Exact Mem.", "Extr. Strength", "Prob. P", "TPR@1% FPR loss", "TPR@0.1% FPR loss")
    bare = {column for column in row if column.startswith(kinds) and column.endswith("Forget QA")}
    assert bare <= documented
    assert len(bare) >= 13

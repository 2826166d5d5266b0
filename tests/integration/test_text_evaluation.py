"""TOFU's tasks through nlp/eval.py: one pass over an item whatever is measured, two processes, interruptions."""

import json
from collections import Counter

import pytest
from launching import launch

from unlearn.config.loading import PROJECT
from unlearn.config.scripts import EvalConfig, FinetuneConfig
from unlearn.entry import load
from unlearn.errors import UserError
from unlearn.evaluation import runner
from unlearn.experiment.base import ACCELERATE
from unlearn.experiment.scripts import script_main
from unlearn.metrics.logs import read_log

TASKS = {
    "forget_qa": 5,
    "retain_qa": 4,
    "real_authors": 3,
    "world_facts": 4,
    "holdout_qa": 5,
    "forget_qa_paraphrased": 5,
}
BATCH = 2


def asked(who, count):
    return [
        {"question": f"What did {who} {i} write?", "answer": f"A book of {i} pages" + " and more" * (i % 3)}
        for i in range(count)
    ]


def judged(who, count, options=3):
    wrong = {"perturbed_answer": ["A song", "A long play", "Nothing", "A map"][:options]}
    return [
        {**row, **wrong, "paraphrased_answer": f"{i} pages", "paraphrased_question": f"Which work is {who} {i}'s?"}
        for i, row in enumerate(asked(who, count))
    ]


def known(who, count):
    return [{**row, "perturbed_answer": ["A song", "Nothing"]} for row in asked(who, count)]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    from datasets import Dataset

    folder = tmp_path_factory.mktemp("texts")
    configs = {
        "forget10_perturbed": judged("Ada", 5), "retain_perturbed": judged("Bo", 4, 4),
        "real_authors_perturbed": known("Poe", 3), "world_facts_perturbed": known("Rome", 4),
        "holdout10": asked("Cy", 5), "forget10": asked("Ada", 5),
    }  # fmt: skip
    for name, rows in configs.items():
        Dataset.from_list(rows).to_parquet(folder / f"{name}.parquet")
    return folder


@pytest.fixture(scope="module")
def given(texts, tiny_overrides, tiny_families, tmp_path_factory):
    """Overrides of nlp/eval.py."""
    people = tmp_path_factory.mktemp("none")
    (people / "texts").symlink_to(texts)
    own = [f"tasks=[{','.join(TASKS)}]", f"batch_size={BATCH}", "max_length=200", "data.qa_per_person=1"]
    return [*tiny_overrides(people, "llama"), *own]


def evaluate(given, out):
    return script_main("nlp/eval")(load("nlp/eval", [*given, f"save_dir={out}"], EvalConfig))


def files_of(out):
    return {path.name: path.read_bytes() for path in out.glob("*.json*") if path.name != "manifest.json"}


@pytest.fixture(scope="module")
def reference(given, tmp_path_factory):
    return evaluate(given, tmp_path_factory.mktemp("reference") / "out")


def test_an_item_is_passed_over_once_and_answered(given, tmp_path, monkeypatch):
    """All answers of an item, and so all metrics, come from one forward of its batch; the others are generation."""
    scored = Counter()

    def score(model, encoder, items, *more):
        calls = []
        hook = model.register_forward_pre_hook(lambda _m, _a, kwargs: calls.append(kwargs), with_kwargs=True)
        records = runner_score(model, encoder, items, *more)
        hook.remove()
        whole = [call for call in calls if call.get("logits_to_keep") is not None and not call["use_cache"]]
        answers = sum(len(item.answers()) for item in items)
        assert [call["input_ids"].shape[0] for call in whole] == [answers]
        scored.update(item.uid for item in items)
        return records

    runner_score = runner.score_items
    monkeypatch.setattr(runner, "score_items", score)
    log = read_log(evaluate(given, tmp_path / "out") / "eval_log_aggregated.json")
    assert {name: len(task.items) for name, task in log.tasks.items()} == TASKS
    # A probe asks the same rows in other words, so their uids stand twice: once for each of the two tasks.
    assert sum(scored.values()) == sum(TASKS.values())
    assert set(scored.values()) == {1, 2}


def test_every_task_has_its_scores(reference):
    log = json.loads((reference / "eval_log_aggregated.json").read_text())
    assert {len(entry["avg_gt_loss"]) for name, entry in log.items() if name == "retain_qa"} == {4}
    manifest = json.loads((reference / "manifest.json").read_text())
    roles = {name: task["role"] for name, task in manifest["tasks"].items()}
    assert roles == {
        "forget_qa": "forget", "retain_qa": "retain", "real_authors": "real", "world_facts": "real",
        "holdout_qa": "holdout", "forget_qa_paraphrased": "forget",
    }  # fmt: skip


def test_two_processes_write_the_files_of_one(given, reference, tmp_path):
    launch("--config_file", ACCELERATE / "ddp.yaml", PROJECT / "nlp/eval.py", *given, f"save_dir={tmp_path / 'out'}")
    assert files_of(tmp_path / "out") == files_of(reference)


def test_an_interrupted_evaluation_ends_with_the_same_files(given, reference, tmp_path, monkeypatch):
    score, calls = runner.score_items, []

    def cut(*arguments):
        if len(calls) == 4:
            raise KeyboardInterrupt
        calls.append(1)
        return score(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(runner, "score_items", cut)
        with pytest.raises(KeyboardInterrupt):
            evaluate(given, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()
    evaluate(given, tmp_path / "out")
    assert files_of(tmp_path / "out") == files_of(reference)


def test_pictures_are_not_asked_about_where_there_are_none(given, tmp_path):
    with pytest.raises(UserError, match="Task forget_captions asks about pictures and data=mini_text has none"):
        evaluate([*given, "tasks=[forget_captions]"], tmp_path / "out")
    own = ("split=full", "forget_modality=image", f"save_dir={tmp_path}")
    cfg = load("nlp/finetune", [*given[:-4], *own], FinetuneConfig)
    with pytest.raises(UserError, match="forget_modality is image but data=mini_text has no pictures"):
        script_main("nlp/finetune")(cfg)

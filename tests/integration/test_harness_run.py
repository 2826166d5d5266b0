"""nlp/eval.py eval=lm_eval on the tiny Llama: run where lm-eval is installed, refused in words where it is not."""

import json
import math
from importlib.util import find_spec

import pytest
import torch

from unlearn.errors import UserError
from unlearn.metrics.harness import harness_columns
from unlearn.metrics.logs import read_log
from unlearn.models.loading import load_encoder, load_model

TASK = """
task: tiny_{name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: {kind}
doc_to_text: "Q: {{{{question}}}}\\nA:"
{answers}
metadata: {{version: 2.0}}
"""
CHOICE = """doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
GENERATION = """doc_to_target: "{{choices[answer]}}"
generation_kwargs: {until: ["."], max_gen_toks: 3, do_sample: false}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""
GROUP = """
group: tiny_group
task: [tiny_choice, tiny_generation]
aggregate_metric_list: [{metric: acc, weight_by_size: true}]
"""
ROWS = [
    {"question": "Where is Ada?", "choices": ["Paris", "Rome"], "answer": 0},
    {"question": "Where is Bo?", "choices": ["Paris", "Rome"], "answer": 1},
    {"question": "Where is Cy?", "choices": ["Oslo", "Rome"], "answer": 0},
]
needed = pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm-eval is not installed")


@pytest.fixture
def evaluate(script, write_data, tmp_path, monkeypatch):
    """Return a function that evaluates the tiny Llama with further overrides and returns the results' folder."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    row = {
        "question": "Where is Ada?",
        "answer": "In Adatown.",
        "paraphrased_answer": "There.",
        "perturbed_answer": "No.",
    }
    write, _ = write_data
    write(tmp_path / "data" / "texts", {"forget10_perturbed": [row]})
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for name, kind, answers in (("choice", "multiple_choice", CHOICE), ("generation", "generate_until", GENERATION)):
        text = TASK.format(name=name, kind=kind, answers=answers, file=tasks / "rows.jsonl")
        (tasks / f"{name}.yaml").write_text(text)
    (tasks / "group.yaml").write_text(GROUP)
    fixed = ("tasks=[forget_qa]", f"save_dir={tmp_path / 'out'}", "eval=lm_eval", f"eval.include_path={tasks}")

    def run(*given):
        return script("eval", *fixed, *given, family="llama", data=tmp_path / "data")

    return run


@pytest.mark.skipif(find_spec("lm_eval") is not None, reason="lm-eval is installed")
def test_without_the_package_the_way_to_it_is_named(evaluate, tmp_path):
    with pytest.raises(UserError, match=r'lm-eval, which is not installed; pip install -e "\.\[lm-eval\]"'):
        evaluate("eval.tasks=[tiny_choice]")
    assert not (tmp_path / "out").exists()


def naive_accuracy(family):
    """The share of rows whose true choice has the larger sum of log-probabilities after the prompt."""
    model, tokenizer = load_model(family, None), load_encoder(family, None).tokenizer
    right = 0
    for row in ROWS:
        sums = []
        prompt = f"Q: {row['question']}\nA:"
        for choice in row["choices"]:
            ids = tokenizer(f"{prompt} {choice}")["input_ids"]
            with torch.no_grad():
                log_probs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
            first = len(tokenizer(prompt)["input_ids"])
            sums.append(sum(log_probs[t - 1, ids[t]].item() for t in range(first, len(ids))))
        right += max(range(2), key=sums.__getitem__) == row["answer"]
    return right / len(ROWS)


@needed
def test_results_lie_beside_the_log_and_are_not_made_twice(evaluate, tiny_families):
    both = "eval.tasks=[tiny_choice,tiny_generation]"
    out = evaluate(both)
    written = json.loads((out / "lm_eval.json").read_text())
    choice = written["tasks"]["tiny_choice"]
    assert (choice["version"], choice["n"], choice["num_fewshot"]) == (2.0, 3, 0)
    share = naive_accuracy(tiny_families["llama"])
    assert choice["metrics"]["acc"]["value"] == pytest.approx(share)
    # The standard error of a mean of n shares.
    assert choice["metrics"]["acc"]["stderr"] == pytest.approx(math.sqrt(share * (1 - share) / 2))
    assert written["tasks"]["tiny_generation"]["metrics"]["exact_match"]["value"] == 0.0
    row = harness_columns(read_log(out / "eval_log_aggregated.json"))
    assert row["LM Eval tiny_choice acc"] == pytest.approx(share)

    times = {file.name: file.stat().st_mtime_ns for file in out.iterdir()}
    assert evaluate(both) == out
    assert {file.name: file.stat().st_mtime_ns for file in out.iterdir()} == times
    with pytest.raises(UserError, match="holds results of another model or of other eval"):
        evaluate(both, "eval.limit=2")
    assert evaluate(both, "eval.limit=2", "overwrite_dir=true") == out
    assert json.loads((out / "lm_eval.json").read_text())["tasks"]["tiny_choice"]["n"] == 2
    # What the suite's own tasks said stands as it was.
    assert all((out / name).stat().st_mtime_ns == times[name] for name in times if name != "lm_eval.json")


@needed
def test_of_a_group_the_table_has_the_group_alone(evaluate):
    out = evaluate("eval.tasks=[tiny_group]")
    written = json.loads((out / "lm_eval.json").read_text())["tasks"]
    assert {name: task["of_group"] for name, task in written.items()} == {
        "tiny_group": False,
        "tiny_choice": True,
        "tiny_generation": True,
    }
    row = harness_columns(read_log(out / "eval_log_aggregated.json"))
    assert {column for column in row if not column.endswith((" Low", " High"))} == {"LM Eval tiny_group acc"}
    assert row["LM Eval tiny_group acc"] == written["tiny_choice"]["metrics"]["acc"]["value"]

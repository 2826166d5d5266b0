"""Results of lm-evaluation-harness beside a log: their columns, and what is refused."""

import json
from pathlib import Path

import pytest

from unlearn.config.schema import Metrics
from unlearn.errors import UserError
from unlearn.metrics.harness import check_same_harness, harness_columns
from unlearn.metrics.logs import EvalLog
from unlearn.metrics.manifest import Manifest
from unlearn.metrics.provenance import Family, Link, Provenance


def task(of_group=False, **metrics):
    values = {metric: {"value": value, "stderr": stderr} for metric, (value, stderr) in metrics.items()}
    return {"version": 1.0, "n": 4, "num_fewshot": 0, "of_group": of_group, "metrics": values}


SETTINGS = {"harness": "0.4.13", "tasks": ["mmlu", "say"], "limit": None, "num_fewshot": None}
TASKS = {
    "mmlu": task(acc=(0.5, 0.1)),
    "mmlu_law": task(of_group=True, acc=(0.25, 0.1)),
    "say": task(exact_match=(1.0, None), word_perplexity=(None, None)),
}


def manifest_of(fingerprint):
    """Return a manifest that tells the model alone."""
    lineage = (Link("runs/npo", fingerprint, None),)
    provenance = Provenance("1", None, Family("llama", "x"), lineage)
    return Manifest("forget10", "retain90", "both", 1, Metrics.correct, {}, 0, {}, provenance)


@pytest.fixture
def evaluated(tmp_path):
    """Return a function that writes a model's folder and returns its log."""

    def write(name="npo", fingerprint="f", manifest=True, **changes):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        content = {"format": 1, "fingerprint": "r", "model": {"path": name, "fingerprint": "f"}}
        content |= {"settings": SETTINGS, "tasks": TASKS, **changes}
        (folder / "lm_eval.json").write_text(json.dumps(content))
        return EvalLog(folder / "eval_log_aggregated.json", {}, manifest_of(fingerprint) if manifest else None)

    return write


def test_columns_have_normal_intervals_and_leave_out_members_of_groups(evaluated):
    row = harness_columns(evaluated())
    assert row.pop("LM Eval mmlu acc Low") == pytest.approx(0.5 - 0.196, abs=1e-5)
    assert row.pop("LM Eval mmlu acc High") == pytest.approx(0.5 + 0.196, abs=1e-5)
    assert row == {
        "LM Eval mmlu acc": 0.5,
        "LM Eval say exact_match": 1.0,
        "LM Eval say exact_match Low": "n/a",
        "LM Eval say exact_match High": "n/a",
        "LM Eval say word_perplexity": None,
        "LM Eval say word_perplexity Low": None,
        "LM Eval say word_perplexity High": None,
    }


def test_a_log_without_results_or_without_manifest_has_no_columns(evaluated, tmp_path):
    assert harness_columns(EvalLog(tmp_path / "eval_log_aggregated.json", {}, manifest_of("f"))) == {}
    assert harness_columns(evaluated(manifest=False)) == {}


def test_results_of_another_model_or_format_are_refused(evaluated):
    with pytest.raises(UserError, match=r"lm_eval.json is of another model than the log beside it; .*overwrite_dir"):
        harness_columns(evaluated(fingerprint="g"))
    with pytest.raises(UserError, match="has format 7 but this version reads 1"):
        harness_columns(evaluated(format=7))
    log = evaluated()
    path = log.path.with_name("lm_eval.json")
    path.write_text(path.read_text()[:-20])
    with pytest.raises(UserError, match="is not complete JSON"):
        harness_columns(log)


def test_what_was_measured_otherwise_is_not_compared(evaluated, tmp_path):
    without = EvalLog(Path(tmp_path / "eval_log_aggregated.json"), {}, manifest_of("f"))
    logs = [without, evaluated("a"), evaluated("b")]
    check_same_harness(logs)
    limited = evaluated("c", settings={**SETTINGS, "limit": 10, "harness": "0.5"})
    with pytest.raises(UserError, match=r"a/lm_eval.json and .*c/lm_eval.json cannot be compared.* harness, limit;"):
        check_same_harness([*logs, limited])

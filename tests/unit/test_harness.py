"""lm-evaluation-harness beside an evaluation: what is refused without it, and a real run where it is installed."""

import json

from unlearn.evaluation.harness import measured

RAW = {
    "results": {
        "pair": {"name": "pair", "alias": "pair", "sample_len": 3, "acc,none": 0.5, "acc_stderr,none": 0.25},
        "left": {"alias": " - left", "sample_len": 1, "acc,none": 1.0, "acc_stderr,none": "N/A"},
        "gsm": {"alias": "gsm", "sample_len": 2, "em,strict-match": 0.5, "em_stderr,strict-match": 0.5, "em,flex": 1},
        "wiki": {"alias": "wiki", "sample_len": 2, "word_perplexity,none": float("inf")},
    },
    "group_subtasks": {"pair": ["left", "right"]},
    "versions": {"pair": 2, "left": 1.0, "gsm": 3.0},
    "n-shot": {"left": 0, "gsm": 5, "wiki": 0},
}


def test_the_harness_s_results_in_the_suite_s_words():
    found = measured(RAW)
    assert found["pair"] == {
        "version": 2,
        "n": 3,
        "num_fewshot": None,
        "of_group": False,
        "metrics": {"acc": {"value": 0.5, "stderr": 0.25}},
    }
    assert found["left"]["of_group"]
    assert found["left"]["metrics"] == {"acc": {"value": 1.0, "stderr": None}}
    assert found["gsm"]["metrics"] == {
        "em (strict-match)": {"value": 0.5, "stderr": 0.5},
        "em (flex)": {"value": 1.0, "stderr": None},
    }
    assert found["wiki"]["metrics"] == {"word_perplexity": {"value": None, "stderr": None}}
    json.dumps(found, allow_nan=False)

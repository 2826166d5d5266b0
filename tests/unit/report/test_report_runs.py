"""What a run's folder tells a report."""

import json

import pytest

from unlearn.errors import UserError
from unlearn.report.runs import loss_curves, training_cost


def test_curves_are_the_terms_alone(tmp_path):
    rest = {"epoch": 0, "phase": "max", "loss": 9, "grad_norm": 1, "lr": 1}
    lines = [{"step": s, "forget_0": s / 2, "l1": 3, **rest} for s in (1, 2)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert loss_curves(tmp_path) == {"forget_0": [(1, 0.5), (2, 1.0)], "l1": [(1, 3), (2, 3)]}


def test_a_model_that_was_not_trained_here_has_neither(tmp_path):
    assert loss_curves(tmp_path) == {}
    assert training_cost(tmp_path) == {}


@pytest.mark.parametrize("text", ['{"step": 1}\n{"st', '{"epoch": 0}\n', "[]\n"])
def test_a_line_that_is_no_step_is_named(tmp_path, text):
    (tmp_path / "log.jsonl").write_text(text)
    number = text.count("\n", 0, len(text) - 1) + 1
    with pytest.raises(UserError, match=f"line {number} is no step"):
        loss_curves(tmp_path)


def test_a_cut_off_cost_is_named(tmp_path):
    (tmp_path / "done.json").write_text('{"identity": "x"')
    with pytest.raises(UserError, match="tells no cost"):
        training_cost(tmp_path)

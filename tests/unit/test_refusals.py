"""Answers of the kind "I don't know"."""

import pytest

from unlearn.data.refusals import load_refusals, refusal_samples
from unlearn.errors import UserError


def test_the_own_refusals_are_many_distinct_and_clean():
    refusals = load_refusals()
    assert len(refusals) == len({refusal.lower().rstrip(".") for refusal in refusals}) >= 100
    assert all(refusal == refusal.strip() and refusal.endswith(".") for refusal in refusals)


def test_refusals_are_read_without_line_ends_and_empty_lines(tmp_path):
    file = tmp_path / "idk.txt"
    file.write_bytes(b"  No.\r\n\r\nNever.\n \n")
    assert load_refusals(file) == ["No.", "Never."]
    file.write_text("\n")
    with pytest.raises(UserError, match="is empty; it needs at least one answer"):
        load_refusals(file)
    with pytest.raises(UserError, match="does not exist; give a text file"):
        load_refusals(tmp_path / "absent.txt")


def test_refusals_are_a_set_to_take_answers_from(tmp_path):
    file = tmp_path / "idk.txt"
    file.write_text("No.\nNever.\n")
    assert [(sample.answer, sample.image) for sample in refusal_samples(str(file))] == [("No.", None), ("Never.", None)]
    assert [sample.answer for sample in refusal_samples(None)] == load_refusals()

"""Answers of the kind "I don't know"."""

import pytest

from unlearn.data.refusals import load_refusals, refusal_for
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


def test_a_refusal_follows_from_seed_epoch_and_uid():
    refusals = load_refusals()
    drawn = {
        key: refusal_for(refusals, *key) for key in [(s, e, f"u{i}") for s in (0, 1) for e in (0, 1) for i in range(50)]
    }
    assert drawn == {key: refusal_for(refusals, *key) for key in reversed(drawn)}
    for fixed in range(2):
        assert len({answer for key, answer in drawn.items() if key[fixed] == 0}) > 20
    assert sum(drawn[0, 0, f"u{i}"] != drawn[0, 1, f"u{i}"] for i in range(50)) > 40

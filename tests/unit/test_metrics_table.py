"""Rows as CSV, JSON and Markdown, and how they reach the disk."""

import csv
import io
import json

import pytest

from unlearn.errors import UserError
from unlearn.metrics.table import rows_to_csv, rows_to_json, rows_to_markdown, save_rows, transposed

ROWS = [
    {"Method": "npo", "Prob. Forget": 0.1 + 0.2, "log10 p": "< -300", "Steps": 12000},
    {"Method": "a|b, c", "Prob. Forget": 1 / 3, "Foreign": "ckpt_result", "Utility": None},
]


def test_csv_keeps_every_digit_and_unites_columns():
    read = list(csv.DictReader(io.StringIO(rows_to_csv(ROWS))))
    assert list(read[0]) == ["Method", "Prob. Forget", "log10 p", "Steps", "Foreign", "Utility"]
    assert [float(row["Prob. Forget"]) for row in read] == [0.1 + 0.2, 1 / 3]
    assert (read[0]["log10 p"], read[0]["Foreign"], read[1]["Utility"]) == ("< -300", "", "")
    assert read[1]["Method"] == "a|b, c"


def test_json_is_the_rows():
    assert json.loads(rows_to_json(ROWS)) == ROWS


def test_markdown_is_aligned_and_short():
    lines = rows_to_markdown(ROWS).splitlines()
    assert lines[0] == "| Method  | Prob. Forget | log10 p | Steps | Foreign     | Utility |"
    assert lines[2] == "| npo     | 0.3          | < -300  | 12000 |             |         |"
    assert lines[3] == "| a\\|b, c | 0.3333       |         |       | ckpt_result |         |"


def test_transposed():
    assert transposed(ROWS, "Method")[0] == {"Method": "Prob. Forget", "npo": 0.1 + 0.2, "a|b, c": 1 / 3}
    assert len(transposed(ROWS, "Method")) == 5


@pytest.mark.parametrize("ending", ["csv", "CSV", "json", "md"])
def test_save_makes_folders_and_leaves_no_other_file(tmp_path, ending):
    path = tmp_path / "new" / f"row.{ending}"
    save_rows(ROWS, path)
    assert "npo" in path.read_text()
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "row.json"
    path.write_text("old")
    with pytest.raises(ValueError, match="JSON"):
        save_rows([{"x": float("nan")}], path)
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    with pytest.raises(UserError, match=r"folder.csv cannot be written"):
        save_rows(ROWS, folder)
    assert path.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.csv", "row.json"]


def test_unknown_ending(tmp_path):
    with pytest.raises(UserError, match=r"row.xlsx.*allowed endings are .csv, .json, .md"):
        save_rows(ROWS, tmp_path / "new" / "row.xlsx")
    assert not list(tmp_path.iterdir())

"""The script itself, as its users start it."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from unlearn.metrics.manifest import FOREIGN_TASKS

PROJECT = Path(__file__).parents[3]
MM_TASKS = [name for name in FOREIGN_TASKS if not name.startswith("eval_")]
TOFU_TASKS = [name for name in FOREIGN_TASKS if name.startswith("eval_")]

NO_TORCH = """
import runpy, sys
sys.argv = {argv!r}
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    heavy = sorted({{"torch", "transformers", "peft", "datasets"}} & set(sys.modules))
    sys.stderr.write(f"heavy: {{heavy}}\\n")
"""


def run_script(folder, *arguments, code=None):
    argv = [str(PROJECT / "aggregate_eval_stat.py"), *arguments]
    command = [sys.executable, "-c", code.format(argv=argv)] if code else [sys.executable, *argv]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("tasks", "label"), [(MM_TASKS, "Forget Captions"), (TOFU_TASKS, "Forget")])
def test_the_script_from_a_foreign_folder_without_torch(tmp_path, pair, tasks, label, new_log):
    _, write = pair
    write(gold=(new_log(tasks, 1), None), model=(new_log(tasks, 2), None))
    paths = [f"{k}={n}/eval_log_aggregated.json" for k, n in (("retain_result", "gold"), ("ckpt_result", "model"))]
    done = run_script(tmp_path, *paths, "save_file=new/row.csv", "method_name=mine", code=NO_TORCH)
    assert done.returncode == 0, done.stderr
    assert "heavy: []" in done.stderr
    assert f"| KS Test {label} " in done.stdout
    with (tmp_path / "new" / "row.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1
    assert {"Model Utility", "Forget Quality", f"KS Test PVal {label}", f"ROUGE {label}"} < set(rows[0])
    assert (rows[0]["Method"], rows[0]["Submitted By"]) == ("mine", "anonymous")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gold", "model", "new"]
    as_json = run_script(tmp_path, *paths, "save_file=row.json", "method_name=mine")
    assert as_json.returncode == 0, as_json.stderr
    (row,) = json.loads((tmp_path / "row.json").read_text())
    assert row["Model Utility"] == float(rows[0]["Model Utility"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["save_file=row.xlsx"], 'save_file is "row.xlsx"; allowed endings are .csv, .json, .md'),
        (["retain_result=cut.json"], "cut.json is not complete JSON"),
        (["retain_result=nowhere.json"], "nowhere.json is absent"),
        (["methodname=x"], "methodname"),
        (["+methodname=x"], 'Did you mean "method_name"?'),
        (["allow_incomplete=perhaps"], "allow_incomplete"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(tmp_path, pair, arguments, message, new_log):
    _, write = pair
    write(gold=(new_log(TOFU_TASKS, 1), None), model=(new_log(TOFU_TASKS, 2), None))
    (tmp_path / "cut.json").write_text('{"eval_log.json": {"avg_gt_loss": {"0": 1.0')
    paths = [f"{k}={n}/eval_log_aggregated.json" for k, n in (("retain_result", "gold"), ("ckpt_result", "model"))]
    done = run_script(tmp_path, *paths, "save_file=new/row.csv", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cut.json", "gold", "model"]

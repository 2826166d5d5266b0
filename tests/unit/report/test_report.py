"""The report of a hand-made experiment, from logs to files."""

import csv
import json
import shutil
import subprocess
import sys

import pytest

from unlearn.errors import UserError
from unlearn.report.__main__ import main
from unlearn.report.config import ReportConfig

SUBMITTER = "<b>me</b>"


def rows(folder):
    return {row["Method"]: row for row in csv.DictReader((folder / "table.csv").open())}


def test_a_row_per_model_with_both_costs_and_accuracies(written):
    found = rows(written)
    assert list(found) == ["pretrained", "base", "gold", "gold_seed1", "gold_seed2", "npo", "grad_ascent"]
    npo = found["npo"]
    assert (npo["Submitted By"], npo["Metrics"]) == (SUBMITTER, "correct")
    assert [float(npo[f"Train {c}"]) for c in ("Wall Seconds", "Peak Memory MiB", "Forwards")] == [12.5, 3.0, 48.0]
    assert found["pretrained"]["Train Wall Seconds"] == ""
    assert [float(npo[f"Eval {c}"]) for c in ("Wall Seconds", "Peak Memory MiB", "Forwards")] == [4.0, 1.0, 7.0]
    assert "Accuracy Forget Captions" not in npo
    # Base gives the true name a loss of about 0.1 against 1 and more, grad_ascent about 4 against 2 and less.
    assert (found["base"]["Accuracy Forget Names"], found["grad_ascent"]["Accuracy Forget Names"]) == ("1.0", "0.0")
    assert float(found["gold"]["Forget Quality"]) == 1.0


def test_everything_is_written_and_named(written):
    files = {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()}
    scores = {"scores_forget_captions", "scores_forget_names", "scores_forget_qa"}
    figures = {"forget_retain", "distances", "training", "cost", *scores}
    assert files == {
        *("table.csv", "table.md", "table.tex", "summary.md", "report.html"),
        *(f"figures/{name}.png" for name in figures),
    }
    summary = (written / "summary.md").read_text()
    for name in ("report.html", "table.csv", "table.md", "table.tex"):
        assert str(written / name) in summary


def test_the_summary_is_short_and_explains_itself(written):
    text = (written / "summary.md").read_text()
    header = next(line for line in text.splitlines() if line.startswith("|"))
    assert "ROUGE Real Faces" not in header
    assert "ROUGE Real Faces" in (written / "table.md").read_text()
    assert "Metrics: correct." in text
    assert "D is the distance to gold" in text
    assert "The settings are not tuned, so this table ranks nothing" in text
    assert "seven billion" in text


def test_every_table_names_its_metrics(written):
    for name in ("table.csv", "table.md", "table.tex", "summary.md"):
        assert "correct" in (written / name).read_text(), name
    page = (written / "report.html").read_text()
    tables = page.split("<table ")[1:]
    assert [t for t in tables if t.startswith('class="numbers"') and "<caption>Metrics: correct." not in t] == []


def test_the_same_logs_give_the_same_bytes(written, experiment_config, tmp_path):
    main(experiment_config(tmp_path, people=2, submitted_by=SUBMITTER))
    for path in written.rglob("*"):
        if path.is_file() and path.name != "summary.md":
            assert path.read_bytes() == (tmp_path / path.relative_to(written)).read_bytes().replace(
                tmp_path.name.encode(), written.name.encode()
            ), path.name


def test_no_dataset_is_read_for_no_people(experiment, experiment_config, tmp_path):
    cfg = experiment_config(tmp_path, people=0)
    shutil.copytree(experiment / "base", tmp_path / "base")
    (tmp_path / "base" / "config.yaml").unlink()
    cfg.models["base"] = str(tmp_path / "base")
    main(cfg)
    assert "What the models say" not in (tmp_path / "report.html").read_text()


def test_a_log_of_another_tool_is_refused(experiment, experiment_config, tmp_path):
    shutil.copytree(experiment / "gold", tmp_path / "gold")
    (tmp_path / "gold" / "eval_results" / "manifest.json").unlink()
    cfg = experiment_config(tmp_path)
    cfg.models["gold"] = str(tmp_path / "gold")
    with pytest.raises(UserError, match=r"has no manifest\.json beside it"):
        main(cfg)
    assert not (tmp_path / "table.csv").exists()


def test_an_evaluation_of_another_split_is_refused(experiment, experiment_config, tmp_path):
    shutil.copytree(experiment / "npo", tmp_path / "npo")
    path = tmp_path / "npo" / "eval_results" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "forget_split": "forget05"}))
    cfg = experiment_config(tmp_path)
    cfg.models["npo"] = str(tmp_path / "npo")
    with pytest.raises(UserError, match="forget_split is forget10 and forget05"):
        main(cfg)


def test_the_keys_are_checked_together():
    assert "models is empty" in ReportConfig({}, save_dir="y").problems()[0]
    problems = ReportConfig({"npo": "x"}, golds=["gold", "npo"], people=-1, save_dir="y").problems()
    assert [problem.split(";")[0] for problem in problems] == [
        'Unknown base "base"',
        'Unknown golds "gold"',
        "people is -1",
    ]
    twice = ReportConfig({"a": "x", "b": "y"}, base="a", golds=["a", "b"], save_dir="y").problems()
    assert len(twice) == 1
    assert twice[0].startswith("base=a, golds=['a', 'b'], pretrained=pretrained name a model twice")
    shared = ReportConfig({"base": "x", "gold": "y", "gold_b": "z/../y"}, golds=["gold", "gold_b"], save_dir="s")
    assert shared.problems() == ["models names y gold and gold_b; give every run one name."]
    assert "golds is empty" in ReportConfig({"base": "x"}, golds=[], save_dir="y").problems()[0]


def test_a_report_imports_no_torch():
    code = "import sys, unlearn.report.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

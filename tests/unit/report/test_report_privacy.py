"""The report's part on memorisation and attacks: a line per model, a figure, and nothing else that holdout changes."""

import csv
from pathlib import Path

import pytest
from matplotlib.collections import PathCollection

from unlearn.metrics.membership import Attack
from unlearn.report.figures import attacks as figure
from unlearn.report.figures.style import LIGHT
from unlearn.report.rows import entries_of
from unlearn.report.study import read_study

MODELS = ["pretrained", "base", "gold", "gold_seed1", "gold_seed2", "npo", "grad_ascent"]


@pytest.fixture(scope="module")
def report(attacked, report_of):
    """Config of the report of the experiment with holdout people, whose folder is there."""
    return report_of(attacked)


@pytest.fixture(scope="module")
def folder(report):
    return Path(report.save_dir)


def rows(path):
    return {row["Method"]: row for row in csv.DictReader(path.open())}


def test_every_model_has_its_row(folder):
    found = rows(folder / "privacy.csv")
    assert list(found) == MODELS
    base, gold, ascent = (found[name] for name in ("base", "gold", "grad_ascent"))
    # Base gives forgotten people probabilities of about 0.9, every model gives holdout people about 0.2.
    assert float(base["AUC loss Forget QA Low"]) == 1.0
    assert float(base["PrivLeak Forget QA"]) == -100.0
    assert float(base["Exact Mem. Forget QA"]) == pytest.approx(0.9, abs=0.05)
    assert float(gold["PrivLeak Forget QA"]) == 0.0
    assert float(gold["AUC Min-K Forget QA Low"]) < 0.5 < float(gold["AUC Min-K Forget QA High"])
    assert float(ascent["AUC loss Forget QA"]) == 0.0
    assert float(ascent["PrivLeak Forget QA"]) > 50
    assert base["TPR@1% FPR loss Forget QA"] == "n/a (48 of 100 others)"


def test_the_reference_attack_compares_with_the_pretrained_model(folder):
    found = rows(folder / "privacy.csv")
    assert found["pretrained"]["AUC reference Forget QA"] == ""
    assert float(found["base"]["AUC reference Forget QA"]) > 0.95


def test_holdout_people_change_no_other_number(folder, written):
    with_holdout, without = rows(folder / "table.csv"), rows(written / "table.csv")
    compared = 0
    for name in MODELS:
        for column in without[name].keys() - {"Submitted By"}:
            if column.startswith(("D ", "d ", "Real", "Retain", "Forget", "Model Utility", "Shift", "KS")):
                assert with_holdout[name][column] == without[name][column], (name, column)
                compared += 1
    assert compared > 100


def test_the_page_has_a_section_with_words_table_and_figure(folder):
    html = (folder / "report.html").read_text()
    assert '<a href="#privacy">Memorisation and privacy</a>' in html
    section = html.partition('<section id="privacy">')[2].partition("</section>")[0]
    assert "Gold shows how much of either needs no memory" in section
    assert "n/a (48 of 100 others)" in section
    assert "whom no model ever saw" in section
    assert "PrivLeak Forget QA" in section
    assert (folder / "figures" / "attacks_forget_qa.png").is_file()
    table = (folder / "privacy.md").read_text()
    assert all(model in table for model in MODELS)
    assert "Hal Number" not in html.partition('<section id="people">')[2]


def test_without_holdout_people_and_memorisation_there_is_no_section(written):
    assert 'id="privacy"' not in (written / "report.html").read_text()
    assert not (written / "privacy.csv").exists()


def test_the_figure_marks_every_area_on_one_scale(report):
    study = read_study(report)
    entries = entries_of(study, "me")
    columns = {"loss": "AUC loss Forget QA", "reference": "AUC reference Forget QA"}
    drawn = figure.draw(entries, columns, LIGHT)
    for axes, column in zip(drawn.axes, columns.values(), strict=True):
        marks = [tuple(mark.get_offsets()[0]) for mark in axes.collections if isinstance(mark, PathCollection)]
        assert marks == [(entry.row[column], place) for place, entry in enumerate(entries) if column in entry.row]
        assert axes.get_xlim() == (-0.04, 1.04)
    assert set(columns) < {attack.value for attack in Attack}

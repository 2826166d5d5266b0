"""The report's part on probes: a line per task and probe, a figure, and nothing else that probes could change."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from unlearn.metrics.bootstrap import Interval
from unlearn.metrics.manifest import FOREIGN_TASKS
from unlearn.report.figures import probes as figure
from unlearn.report.figures.style import THEMES, render
from unlearn.report.probes import probed as of_tasks
from unlearn.report.runs import Kind
from unlearn.report.study import read_study

MODELS = ["pretrained", "base", "gold", "gold_seed1", "gold_seed2", "npo", "grad_ascent"]
ASKED = ["forget_names", "forget_names_other_picture", "forget_names_prefix", "retain_qa", "retain_qa_role_play"]


@pytest.fixture(scope="module")
def report(probed, report_of):
    """Config of the report of the experiment with probes, whose folder is there."""
    return report_of(probed)


@pytest.fixture(scope="module")
def folder(report):
    return Path(report.save_dir)


def rows(path):
    return list(csv.DictReader(path.open()))


def test_every_model_has_its_distance_and_shift_on_every_probe_and_on_what_it_probes(report, folder):
    found = rows(folder / "probes.csv")
    assert [(row["Task"], row["Method"]) for row in found] == [(task, m) for task in ASKED for m in MODELS]
    study = read_study(report)
    distances = {**study.comparison.golds, **study.comparison.models}
    for row in found:
        of_model, task = distances[row["Method"]], row["Task"]
        for column, interval in (("D", of_model.tasks[task]), ("Shift", of_model.tendency[task])):
            ends = [float(row[f"{column}{end}"]) for end in ("", " Low", " High")]
            assert ends == [interval.value, interval.low, interval.high]
    probe = next(row for row in found if row["Task"] == "forget_names_prefix")
    assert (probe["Probe Of"], probe["Role"], found[0]["Probe Of"]) == ("forget_names", "forget", "")
    base = next(row for row in found if (row["Task"], row["Method"]) == ("forget_names_prefix", "base"))
    assert 0 <= float(base["ROUGE"]) <= 1
    assert float(base["Prob."]) > 0.5


def test_probes_change_no_number_of_the_tables(folder, written):
    """The same experiment without probes: equal in everything but the cost of the evaluation, which is made up."""
    with_probes, without = rows(folder / "table.csv"), rows(written / "table.csv")
    for a, b in zip(with_probes, without, strict=True):
        assert {**a, "Submitted By": ""} == {**b, "Submitted By": ""}


def test_the_page_has_a_section_with_words_table_and_figure(folder):
    html = (folder / "report.html").read_text()
    assert '<a href="#probes">Probes</a>' in html
    section = html.partition('<section id="probes">')[2].partition("</section>")[0]
    assert "Look at base first" in section
    assert "Forget Names, other&#39;s picture" in section
    assert section.count("<tr>") == 1 + len(ASKED)
    assert "; shift +0." in section
    assert (folder / "figures" / "probes.png").is_file()
    table = (folder / "probes.md").read_text()
    assert all(model in table for model in MODELS)
    assert str(folder / "probes.md") in (folder / "summary.md").read_text()


def test_people_are_shown_without_probes(folder):
    people = (folder / "report.html").read_text().partition('<section id="people">')[2].partition("</section>")[0]
    assert "Forget Names:" in people
    assert "Forget Names, prefix" not in people
    assert "old friend" not in people


def test_without_probes_there_is_no_section(written):
    assert not list(written.glob("probes.*"))
    assert "#probes" not in (written / "report.html").read_text()


def test_probes_stand_below_what_they_probe_in_the_order_of_the_evaluation():
    qa, names = FOREIGN_TASKS["forget_qa"], FOREIGN_TASKS["forget_names"]
    infos = {
        "b": replace(qa, probe_of="forget_qa"), "x": replace(qa, probe_of="absent"), "forget_names": names,
        "forget_qa": qa, "n": replace(names, probe_of="forget_names"), "a": replace(qa, probe_of="forget_qa"),
        "retain_qa": FOREIGN_TASKS["retain_qa"],
    }  # fmt: skip
    found = of_tasks(infos)
    assert list(found) == ["forget_names", "forget_qa", "absent"]
    assert found["absent"] == ["x"]
    assert found["forget_names"] == ["forget_names", "n"]
    assert found["forget_qa"] == ["forget_qa", "b", "a"]


def test_the_figure_has_a_mark_for_every_model_and_way_at_its_shift():
    ways = {"as trained": [Interval(0.5, 0.4, 0.6), Interval(0.1)], "prefix": [Interval(0.3, 0.2, 0.4), Interval(0.2)]}
    panels = [figure.Panel("QA", ways), figure.Panel("Names", {"prefix": [Interval(0.0), Interval(-0.1)]})]
    kinds = [Kind.base, Kind.unlearned]
    drawn = figure.draw(panels, ["base", "npo"], kinds, THEMES[0])
    qa, names = drawn.axes
    marks = [m for m in qa.collections if len(m.get_offsets()) == 2 and m.get_label() in ways]
    assert [[x for x, _ in m.get_offsets().tolist()] for m in marks] == [[0.5, 0.1], [0.3, 0.2]]
    # Both ways of a model lie in its row, and none on the other.
    heights = [[y for _, y in m.get_offsets().tolist()] for m in marks]
    assert all(abs(y - row) < 0.5 for of_way in heights for row, y in enumerate(of_way))
    assert heights[0][0] < heights[1][0]
    assert [t.get_text() for t in drawn.legends[0].get_texts()] == ["as trained", "prefix"]
    (other,) = [m for m in names.collections if m.get_label() == "prefix"]
    assert other.get_facecolor().tolist() == marks[1].get_facecolor().tolist() != marks[0].get_facecolor().tolist()
    for theme in THEMES:
        assert render(lambda t: figure.draw(panels, ["base", "npo"], kinds, t), theme).startswith(b"\x89PNG")

"""The headline table: what is marked, how numbers are printed, Markdown and LaTeX."""

import re

import pytest

from unlearn.config.schema import Metrics
from unlearn.report.latex import escaped, to_latex
from unlearn.report.rows import Entry
from unlearn.report.runs import Kind
from unlearn.report.tables import headline, shown, to_long_markdown, to_markdown, whole

INTERVAL = {"D Forget Low": 0.1, "D Forget High": 0.3}
ENTRIES = [
    Entry("base", Kind.base, {"D Forget": 0.6, "Model Utility": 0.9, "Train Wall Seconds": 100.0}),
    Entry("gold", Kind.gold, {"D Forget": 0.01, "Model Utility": 0.8, "Forget Quality": 1.0}),
    Entry("a_b%", Kind.unlearned, {"D Forget": 0.2, **INTERVAL, "Model Utility": 0.5, "Forget Quality": 1e-38}),
    Entry("c|d", Kind.unlearned, {"D Forget": 0.4, "Model Utility": 0.7, "Train Wall Seconds": 1234.5}),
]


def cells(name):
    table = headline(ENTRIES, Metrics.correct)
    line = next(line for line in table.lines if line.name == name)
    return dict(zip(table.columns, line.cells, strict=True))


def test_the_best_method_is_marked_and_no_reference():
    marked = {(line.name, column) for line in headline(ENTRIES, Metrics.correct).lines for column in cells(line.name)
              if cells(line.name)[column].best}  # fmt: skip
    assert marked == {("a_b%", "D Forget"), ("c|d", "Model Utility"), ("c|d", "Train Wall Seconds")}


def test_equal_values_are_both_best():
    twins = [Entry(name, Kind.unlearned, {"D Max": 0.5}) for name in ("a", "b")]
    assert [line.cells[0].best for line in headline(twins, Metrics.correct).lines] == [True, True]


def test_columns_without_any_value_are_left_out():
    assert headline(ENTRIES, Metrics.correct).columns == (
        "D Forget",
        "Model Utility",
        "Forget Quality",
        "Train Wall Seconds",
    )


def test_intervals_stand_beside_their_value():
    assert (cells("a_b%")["D Forget"].text, cells("a_b%")["D Forget"].beside) == ("0.200", "[0.100, 0.300]")
    assert cells("c|d")["D Forget"].beside == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), ("< -300", "< -300"), (0.12345, "0.123"), (-0.5, "-0.500"), (-1e-17, "0.000"), (0.0, "0.000"),
     (7, "7"), (12.34, "12.3"), (1234.5, "1,234"), (123456, "123,456")],
)  # fmt: skip
def test_numbers_are_printed_for_people(value, text):
    assert shown(value) == text


def test_tiny_p_values_keep_their_size():
    assert cells("a_b%")["Forget Quality"].text == "1e-38"
    assert shown(0.25, p_value=True) == "0.250"


def test_an_interval_that_cannot_be_had_is_said_to_be_absent():
    row = {"D Forget": 0.2, "D Forget Low": "n/a", "D Forget High": "n/a"}
    assert headline([Entry("npo", Kind.unlearned, row)], Metrics.correct).lines[0].cells[0].beside == "[n/a]"


def test_what_has_no_interval_stands_beside_its_value_between_golds():
    row = {
        "JS Distance": 0.3,
        "JS Distance Gold": 0.1,
        "D Max": 0.2,
        "D Max Low": 0.1,
        "D Max High": 0.3,
        "D Max Gold": 0.05,
    }
    table = whole([Entry("npo", Kind.unlearned, row)])
    assert table.columns == ("JS Distance", "D Max", "D Max Gold")
    assert [cell.beside for cell in table.lines[0].cells] == ["(gold 0.100)", "[0.100, 0.300]", ""]


def test_published_metrics_have_their_own_columns_and_best():
    rows = {"a": {"Forget": 0.4, "Retain": 0.6}, "b": {"Forget": 0.2, "Retain": 0.5}}
    table = headline([Entry(name, Kind.unlearned, row) for name, row in rows.items()], Metrics.released)
    assert table.columns == ("Retain", "Forget")
    assert [[cell.best for cell in line.cells] for line in table.lines] == [[True, False], [False, True]]


def test_all_columns_are_shown_but_the_ends_of_intervals():
    table = whole(ENTRIES)
    assert table.columns == ("D Forget", "Model Utility", "Train Wall Seconds", "Forget Quality")
    header, _, *lines = to_long_markdown(table).splitlines()
    assert header.split() == ["|", "Method", "|", "base", "|", "gold", "|", "a_b%", "|", "c\\|d", "|"]
    assert [line.split("|")[1].strip() for line in lines] == list(table.columns)
    assert "| 0.200 [0.100, 0.300] |" in lines[0]


def test_markdown_is_aligned_and_marks_the_best():
    lines = to_markdown(headline(ENTRIES, Metrics.correct)).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert "**0.200** [0.100, 0.300]" in lines[4]
    assert "c\\|d" in lines[5]


def test_latex_is_a_booktabs_table_of_even_rows():
    text = to_latex(headline(ENTRIES, Metrics.correct), "Distance & more, 95%")
    commands = re.findall(r"\\(toprule|midrule|bottomrule|begin\{\w+\}|end\{\w+\})", text)
    rules = ["toprule", "midrule", "midrule", "bottomrule"]
    assert commands == ["begin{table}", "begin{tabular}", *rules, "end{tabular}", "end{table}"]
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert [len(re.findall(r"(?<!\\)&", line)) for line in body] == [4] * 5
    assert r"\begin{tabular}{lrrrr}" in text
    assert r"a\_b\% & \textbf{0.200} {\scriptsize [0.100, 0.300]} &" in text
    assert r"\caption{Distance \& more, 95\%}" in text
    assert balanced(text)


def balanced(text):
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return False
    return depth == 0


def test_latex_prints_minus_signs():
    row = {"D Forget": 0.1, "D Forget Low": -0.1, "D Forget High": 0.2, "Shift Forget": -0.3}
    text = to_latex(headline([Entry("a-1", Kind.unlearned, row)], Metrics.correct), "")
    assert r"a-1 & \textbf{0.100} {\scriptsize [$-$0.100, 0.200]} & $-$0.300 \\" in text


def test_latex_escapes_every_special_character():
    given = "\\ { } $ & # _ % ^ ~ < > |"
    assert escaped(given).split() == [
        r"\textbackslash{}", r"\{", r"\}", r"\$", r"\&", r"\#", r"\_", r"\%", r"\textasciicircum{}",
        r"\textasciitilde{}", r"\textless{}", r"\textgreater{}", r"\textbar{}",
    ]  # fmt: skip
    assert "\n" not in escaped("two\nlines")

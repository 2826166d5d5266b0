"""The figures: what is drawn, in whose colour, and that nothing covers anything."""

import io
import itertools
import random

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from unlearn.metrics.samples import Score
from unlearn.report.figures import costs, curves, distances, distributions, plane, trials
from unlearn.report.figures.style import DARK, LIGHT, THEMES, broken, render
from unlearn.report.rows import Entry
from unlearn.report.runs import Kind
from unlearn.report.sweep import Sweep, Trial, frontier

GOLDS = [plane.Point(f"gold{i}", Kind.gold, 0.2 + 0.02 * i, 0.8 + 0.01 * i) for i in range(3)]
P = Score.probability
POINTS = [plane.Point("base", Kind.base, 0.9, 0.8), *GOLDS, plane.Point("npo", Kind.unlearned, 0.3, 0.6)]


def drawn(figure):
    figure.draw_without_rendering()
    return figure


def test_the_plane_has_every_model_at_its_place_and_golds_lines_and_band():
    axes = drawn(plane.draw(POINTS, LIGHT)).axes[0]
    places = [tuple(mark.get_offsets()[0].tolist()) for mark in axes.collections]
    assert places == [(point.forget, point.retain) for point in POINTS]
    lines = [line.get_xydata().tolist() for line in axes.lines]
    assert lines[0][0][0] == pytest.approx(0.22)
    assert lines[1][0][1] == pytest.approx(0.81)
    upright, level = axes.patches
    assert (upright.get_x(), upright.get_width()) == pytest.approx((0.2, 0.04))
    assert (level.get_y(), level.get_height()) == pytest.approx((0.8, 0.02))
    assert [text.get_text() for text in axes.texts if text.get_text()] == ["gold0", "base", "npo"]


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_golds_have_no_band(count):
    assert not plane.draw([*GOLDS[:count], POINTS[0]], LIGHT).axes[0].patches


def test_names_cover_no_name_and_no_mark():
    rng = random.Random(3)
    crowd = [
        plane.Point(f"method_number_{i}", Kind.unlearned, rng.uniform(0, 1), rng.uniform(0.7, 0.9)) for i in range(20)
    ]
    axes = drawn(plane.draw([*GOLDS, *crowd], LIGHT)).axes[0]
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert len(boxes) == 21
    assert [pair for pair in itertools.combinations(boxes, 2) if pair[0].overlaps(pair[1])] == []
    marks = [axes.transData.transform(mark.get_offsets()[0]) for mark in axes.collections]
    assert [mark for mark in marks for box in boxes if box.contains(*mark)] == []
    frame = axes.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes)


def test_distributions_have_a_row_per_model_against_all_golds():
    gold = [
        distributions.Spread(f"g{i}", Kind.gold, {P: np.array([0.1, 0.1 + 0.5 * i]), Score.rouge: np.ones(2)})
        for i in (0, 1)
    ]
    npo = distributions.Spread(
        "npo", Kind.unlearned, {P: np.array([0.9, 0.91, 0.2]), Score.rouge: np.zeros(3)}, {P: "d 0.5"}
    )
    base = distributions.Spread("base", Kind.base, npo.scores)
    axes = drawn(distributions.draw([base, *gold, npo], LIGHT)).axes
    assert [panel.get_title(loc="left") for panel in axes] == ["probability of the truth", "ROUGE-L recall"]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["base", "npo"]
    assert [[text.get_text() for text in panel.texts] for panel in axes] == [["", "d 0.5"], ["", ""]]
    own, pooled = axes[0].patches[2:]
    floor, heights = own.get_data().baseline, own.get_data().baseline - own.get_data().values
    assert floor == pytest.approx(1.4)
    assert heights.sum() == pytest.approx(1.5 * heights.max())
    assert own.get_data().edges[heights.argmax()] == pytest.approx(0.88)
    # Three of gold's four values are 0.1, one is 0.6.
    heights = floor - pooled.get_data().values
    assert heights.sum() == pytest.approx(4 / 3 * heights.max())
    colours = to_hex(own.get_facecolor()), to_hex(pooled.get_edgecolor())
    assert colours == (LIGHT.kinds[Kind.unlearned], LIGHT.kinds[Kind.gold])


def test_distances_have_a_mark_an_interval_and_golds_band():
    far = {
        "D Forget": 0.5,
        "D Forget Low": 0.4,
        "D Forget High": 0.7,
        "D Max": 0.6,
        "D Max Low": None,
        "D Max High": None,
    }
    entries = [Entry("gold", Kind.gold, {}), Entry("npo", Kind.unlearned, far)]
    axes = drawn(distances.draw(entries, {"forget": 0.1, "retain": 0.2}, LIGHT)).axes
    assert [panel.get_title(loc="left") for panel in axes] == ["D Forget", "D Max"]
    line, mark = axes[0].collections
    assert line.get_segments()[0].tolist() == [[0.4, 1], [0.7, 1]]
    assert mark.get_offsets().tolist() == [[0.5, 1]]
    assert [len(panel.collections) for panel in axes] == [2, 1]
    assert [[band.get_width() for band in panel.patches] for panel in axes] == [[0.1], []]
    assert axes[0].get_xlim()[0] == 0
    assert axes[0].get_xlim()[1] > 0.7


def trial(method, number, forget, retain, chosen=False):
    found = (
        {} if forget is None else {"D Forget": forget, "D Retain": retain, "D Real": 0.0, "D Max": max(forget, retain)}
    )
    return Trial(method, number, 1e-4, 5, found, chosen)


TRIALS = (
    *(trial("npo", 0, 0.3, 0.1), trial("npo", 1, 0.2, 0.15, chosen=True), trial("npo", 2, 0.4, 0.4)),
    *(trial("kl", 0, 0.1, 0.5, chosen=True), trial("kl", 1, None, None)),
)


def test_the_frontier_is_what_no_trial_beats():
    found = frontier(TRIALS, "D Forget", "D Retain")
    assert [(t.method, t.number) for t in found] == [("kl", 0), ("npo", 1), ("npo", 0)]
    assert frontier([TRIALS[0], TRIALS[0]], "D Forget", "D Retain") == [TRIALS[0]]


def test_trials_have_a_panel_per_method_with_its_frontier_and_its_choice():
    axes = drawn(trials.draw(Sweep(0, TRIALS, ()), LIGHT)).axes
    assert [panel.get_title(loc="left") for panel in axes[:2]] == ["npo", "kl"]
    everyone, own, chosen = axes[0].collections
    assert len(everyone.get_offsets()) == 4
    assert own.get_offsets().tolist() == [[0.3, 0.1], [0.2, 0.15], [0.4, 0.4]]
    assert chosen.get_offsets().tolist() == [[0.2, 0.15]]
    assert axes[0].lines[1].get_xydata().tolist() == [[0.2, 0.15], [0.3, 0.1]]
    assert axes[0].get_xlim()[0] == axes[0].get_ylim()[0] == 0
    assert not axes[2].axison


def test_curves_have_a_panel_per_run_and_a_line_per_term():
    runs = {"base": {"train_0": [(1, 2.0), (2, 1.0)]}, "npo": {"forget_0": [(1, 3.0)], "retain_1": [(1, 0.5)]}}
    axes = drawn(curves.draw(runs, LIGHT)).axes
    assert [panel.get_legend().get_title().get_text() for panel in axes[:2]] == ["base", "npo"]
    assert [line.get_label() for line in axes[1].lines] == ["forget_0", "retain_1"]
    assert axes[0].lines[0].get_xydata().tolist() == [[1, 2], [2, 1]]
    assert not axes[2].axison


def test_a_long_curve_is_averaged_over_neighbours():
    steps, values = curves.thinned([(i, float(i % 2)) for i in range(1, 1001)], most=100)
    assert len(steps) == 100
    assert list(values) == [0.5] * 100
    assert steps[0] == 5.5


def test_costs_have_two_bars_per_model_and_none_where_nothing_was_measured():
    full = {f"{part} {q}": 10.0 * (i + 1) for i, part in enumerate(costs.PARTS) for q in costs.QUANTITIES}
    entries = [Entry("pretrained", Kind.pretrained, {"Eval Forwards": 5.0}), Entry("npo", Kind.unlearned, full)]
    axes = drawn(costs.draw(entries, LIGHT)).axes
    assert [[bar.get_width() for bar in panel.patches] for panel in axes] == [[10, 20], [10, 20], [10, 5, 20]]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["pretrained", "npo"]


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_a_figure_is_the_same_bytes_every_time_on_its_themes_paper(theme):
    first, second = (render(lambda t: plane.draw(POINTS, t), theme) for _ in range(2))
    assert first == second
    picture = Image.open(io.BytesIO(first)).convert("RGB")
    assert picture.width == 1440
    assert "#{:02x}{:02x}{:02x}".format(*picture.getpixel((2, 2))) == theme.paper


@pytest.mark.parametrize(
    ("name", "lines"),
    [("npo", ["npo"]), ("grad_diff_forget_kl_retain_kl", ["grad_diff_forget_kl_", "retain_kl"]), ("a" * 30, ["a" * 30]),
     ("x_" + "a" * 30, ["x_", "a" * 30]), ("_", ["_"]), ("", [""])],
)  # fmt: skip
def test_long_names_break_after_underscores(name, lines):
    assert broken(name).split("\n") == lines


def test_names_with_dollars_are_no_formulas():
    odd = plane.Point(r"a$\nothing$", Kind.unlearned, 0.5, 0.5)
    assert render(lambda theme: plane.draw([*GOLDS, odd], theme), DARK)

"""The figures of the vision study: what is drawn where, from arrays."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from unlearn.metrics.bootstrap import Interval
from unlearn.metrics.faces.reenrolment import Shots
from unlearn.report.figures import face_accuracy, face_logits, reenrolment, roc
from unlearn.report.figures.style import DARK, LIGHT, render
from unlearn.report.rows import Entry
from unlearn.report.runs import Kind


def drawn(figure):
    figure.draw_without_rendering()
    return figure


STATISTICS = [
    face_logits.Statistic("gold", Kind.gold, np.array([0.0, 0.1, -6.9]), np.array([0.0, 0.1]), "AUC 0.50"),
    face_logits.Statistic("npo", Kind.unlearned, np.array([3.0]), np.array([-3.0, -3.1, 2.0])),
]


def test_logits_have_a_row_per_method_with_in_and_out():
    axes = drawn(face_logits.draw(STATISTICS, LIGHT)).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["gold", "npo"]
    assert [text.get_text() for text in axes.texts] == ["AUC 0.50", ""]
    gold_in, _, npo_in, npo_out = axes.patches
    assert (to_hex(npo_in.get_facecolor()), npo_in.get_fill()) == (LIGHT.kinds[Kind.unlearned], True)
    assert (to_hex(npo_out.get_edgecolor()), npo_out.get_fill()) == (LIGHT.ink, False)

    def heights(bars):
        """By left edge: of rows numbered downwards what is high has the smaller number."""
        data = bars.get_data()
        found = data.baseline - data.values
        return {float(data.edges[i]): found[i] for i in np.flatnonzero(found > 1e-9)}

    # Two of three in one bin, each histogram to its own height; what is clipped has its place.
    assert heights(gold_in) == pytest.approx({-7.0: 0.31, 0.0: 0.62})
    assert heights(npo_in) == pytest.approx({3.0: 0.62})
    assert heights(npo_out) == pytest.approx({-3.25: 0.62, -3.0: 0.62, 2.0: 0.62})


CURVES = [
    roc.Roc("gold", Kind.gold, np.array([0, 0.5, 1]), np.array([0, 0.5, 1]), {"1%": 0.01, "0.1%": None}),
    roc.Roc("npo", Kind.unlearned, np.array([0, 0.0, 1]), np.array([0, 0.25, 1]), {"1%": 0.25, "0.1%": 0.0}),
    *(roc.Roc(f"m{i}", Kind.unlearned, np.array([0, 1]), np.array([0, 1]), {}) for i in range(6)),
]


def test_curves_are_steps_on_log_axes_with_marks_at_the_rates():
    axes = drawn(roc.draw(CURVES, LIGHT)).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [label.get_text() for label in axes.get_xticklabels()][1:-1] == ["0.01%", "0.1%", "1%", "10%", "100%"]
    gold, npo, *others, chance = axes.lines
    # A rate of 0 stands at the axis' beginning.
    assert npo.get_xydata().tolist() == [[1e-4, 1e-4], [1e-4, 0.25], [1, 1]]
    assert npo.get_drawstyle() == "steps-post"
    assert chance.get_xydata().tolist() == [[1e-4, 1e-4], [1, 1]]
    assert gold.get_color() == LIGHT.kinds[Kind.gold]
    # The seventh unlearned model has the first one's colour and another line.
    assert (others[-1].get_color(), others[-1].get_linestyle()) == (npo.get_color(), "--")
    marks = [mark.get_offsets().tolist() for mark in axes.collections]
    assert marks[:3] == [[[0.01, 0.01]], [[0.01, 0.25], [0.001, 1e-4]], []]


def test_accuracies_have_bars_intervals_and_gold_s_line():
    gold = {f"Acc. {name}": 0.2 for name in face_accuracy.SETS}
    npo = {"Acc. Forget": 0.6, "Acc. Forget Low": 0.5, "Acc. Forget High": 0.7, "Acc. Retain": 0.9,
           "Acc. Retain Low": "n/a", "Acc. Retain High": "n/a", "Acc. Holdout": None}  # fmt: skip
    axes = drawn(face_accuracy.draw([Entry("gold", Kind.gold, gold), Entry("npo", Kind.unlearned, npo)], LIGHT)).axes
    assert [panel.get_title(loc="left") for panel in axes] == ["forget", "retain", "holdout", "unseen"]
    assert [[bar.get_width() for bar in panel.patches] for panel in axes] == [[0.2, 0.6], [0.2, 0.9], [0.2], [0.2]]
    assert [[line.get_xdata()[0] for line in panel.lines] for panel in axes] == [[0.2]] * 4
    assert axes[0].collections[0].get_segments()[0].tolist() == [[0.5, 1], [0.7, 1]]
    assert [len(panel.collections) for panel in axes] == [1, 0, 0, 0]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["gold", "npo"]


def shots(k, forgotten, never):
    return Shots(k, Interval(forgotten, forgotten - 0.1, forgotten + 0.1), never, None)


METHODS = {
    "gold": [shots(1, 0.3, Interval(0.3)), shots(2, 0.5, Interval(0.4))],
    "npo": [shots(1, 0.8, Interval(0.3, 0.2, 0.4)), shots(2, 0.9, None)],
}


def test_re_enrolment_has_a_panel_per_method_with_two_curves():
    axes = drawn(reenrolment.draw(METHODS, LIGHT)).axes
    assert [panel.get_title(loc="left") for panel in axes[:2]] == ["gold", "npo"]
    assert [line.get_xydata().tolist() for line in axes[0].lines] == [[[1, 0.3], [2, 0.5]], [[1, 0.3], [2, 0.4]]]
    assert [line.get_xydata().tolist() for line in axes[1].lines] == [[[1, 0.8], [2, 0.9]], [[1, 0.3]]]
    # Without an interval there is no band.
    assert [len(panel.collections) for panel in axes[:2]] == [1, 2]
    assert axes[0].collections[0].get_paths()[0].get_extents().bounds == pytest.approx((1, 0.2, 1, 0.4))
    assert not axes[2].axison


@pytest.mark.parametrize(("draw", "of"), [(face_logits.draw, STATISTICS), (roc.draw, CURVES)])
def test_they_are_the_same_bytes_every_time(draw, of):
    assert render(lambda theme: draw(of, theme), DARK) == render(lambda theme: draw(of, theme), DARK)

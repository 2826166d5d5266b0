"""KLoM: 0 for equal models, by hand, and against a loop."""

import math

import numpy as np
import pytest

from unlearn.errors import UserError
from unlearn.metrics.faces.klom import Margins, divergences, klom


def all_of(values):
    return Margins(values, np.ones_like(values, dtype=bool))


def test_equal_models_are_at_0():
    values = np.random.default_rng(0).normal(size=(64, 30))
    assert divergences(all_of(values), all_of(values)).tolist() == [0.0] * 30
    assert divergences(all_of(values), all_of(values[::-1])).tolist() == [0.0] * 30
    # Two samples of 64 models from one distribution are not the same 64 models.
    other = np.random.default_rng(1).normal(size=(64, 30))
    assert 0.1 < klom(all_of(values), all_of(other)).mean < 0.5


def test_two_far_groups_by_hand():
    # All golds in the first bin, all others in the last: p = (10.5, 0.5, ..., 0.5) / 20, and q is p turned round.
    gold, other = np.zeros((10, 1)), np.ones((10, 1))
    expected = (10.5 - 0.5) / 20 * math.log(10.5 / 0.5)
    assert divergences(all_of(gold), all_of(other)) == pytest.approx([expected])
    # A constant at gold's own mean shows too.
    gold = np.linspace(-1, 1, 64)[:, None]
    assert divergences(all_of(gold), all_of(np.zeros((64, 1))))[0] > 0.9


def test_the_summary_is_the_mean_and_the_95th_percentile_over_samples():
    rng = np.random.default_rng(2)
    gold, other = (all_of(rng.normal(size=(20, 41))) for _ in range(2))
    each, found = sorted(divergences(gold, other)), klom(gold, other)
    assert found.mean == pytest.approx(sum(each) / 41)
    # Of 41 values the 95th percentile is the 39th: 0.95 x 40 = 38 lie below.
    assert found.percentile_95 == pytest.approx(each[38])


def naive(gold, other):
    pooled = np.concatenate([gold, other])
    low, high = np.quantile(pooled, [0.01, 0.99])

    def shares(values):
        counts = [0.5] * 20
        for value in values:
            place = 0
            for edge in range(1, 20):
                place += value >= low + edge * (high - low) / 20
            counts[place] += 1
        return [c / (len(values) + 10) for c in counts]

    return sum(p * math.log(p / q) for p, q in zip(shares(gold), shares(other), strict=True))


def test_against_a_loop_over_samples_models_and_bins():
    rng = np.random.default_rng(3)
    gold, other = rng.normal(size=(30, 12)), rng.normal(0.5, 2, size=(40, 12))
    masks = rng.random((30, 12)) < 0.7, rng.random((40, 12)) < 0.6
    found = divergences(Margins(gold, masks[0]), Margins(other, masks[1]))
    for s in range(12):
        assert found[s] == pytest.approx(naive(gold[masks[0][:, s], s], other[masks[1][:, s], s]))


def test_a_sample_without_models_is_refused():
    values = np.zeros((4, 2))
    with pytest.raises(UserError, match="A sample has no unlearned model"):
        klom(all_of(values), Margins(values, np.array([[True, False]] * 4)))

"""The Kolmogorov-Smirnov test, a mean's interval, the harmonic mean: by hand, by a naive twin, at their limits."""

import itertools
import math
import random
from fractions import Fraction
from statistics import fmean

import numpy as np
import pytest

from unlearn.metrics.statistics import harmonic_mean, ks_two_sample, mean_interval


def naive_statistic(a, b):
    largest = 0.0
    for x in [*a, *b]:
        below_a = sum(1 for value in a if value <= x) / len(a)
        below_b = sum(1 for value in b if value <= x) / len(b)
        largest = max(largest, abs(below_a - below_b))
    return largest


def naive_p_value(a, b):
    """Return the share of all ways to split the pooled values whose statistic is at least that of (a, b)."""
    pooled, observed = [*a, *b], naive_statistic(a, b)
    splits = list(itertools.combinations(range(len(pooled)), len(a)))
    at_least = 0
    for chosen in splits:
        left = [pooled[i] for i in chosen]
        right = [pooled[i] for i in range(len(pooled)) if i not in chosen]
        at_least += naive_statistic(left, right) >= observed - 1e-12
    return at_least / len(splits)


def test_ks_by_hand():
    # F_a is 1 where F_b is still 0: D = 1; only 2 of the C(6, 3) = 20 splits are that extreme.
    test = ks_two_sample([1, 2, 3], [4, 5, 6])
    assert (test.statistic, test.p_value) == pytest.approx((1.0, 0.1))
    assert test.log10_p == pytest.approx(-1.0)
    # After 2 values of a and none of b: D = 2/4.
    assert ks_two_sample([1, 2, 5, 6], [3, 4, 7, 8]).statistic == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(4))
def test_ks_against_a_naive_twin(seed):
    rng = random.Random(seed)
    a, b = [rng.gauss(0, 1) for _ in range(5)], [rng.gauss(1, 1) for _ in range(6)]
    test = ks_two_sample(a, b)
    assert test.statistic == pytest.approx(naive_statistic(a, b))
    assert test.p_value == pytest.approx(naive_p_value(a, b))


def test_ks_depends_on_ranks_alone():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=30), rng.normal(0.5, size=40)
    for monotone in (np.exp, lambda x: np.exp(-x), lambda x: x**3):
        assert ks_two_sample(monotone(a), monotone(b)) == ks_two_sample(a, b)


def test_ks_at_its_limits():
    same = ks_two_sample([0.1, 0.2, 0.2], [0.1, 0.2, 0.2])
    assert (same.statistic, same.p_value, same.log10_p) == (0.0, 1.0, 0.0)
    # C(4000, 2000) exceeds what a double holds: p is 0, and its logarithm is said, not computed.
    apart = ks_two_sample(range(2000), range(3000, 5000))
    assert (apart.statistic, apart.p_value, apart.log10_p) == (1.0, 0.0, "< -300")


def test_harmonic_mean():
    assert harmonic_mean([1, 0.5, 0.25]) == pytest.approx(3 / 7)
    rng = random.Random(1)
    values = [rng.uniform(0.01, 1) for _ in range(12)]
    exact = len(values) / sum(1 / Fraction(v) for v in values)
    assert harmonic_mean(values) == pytest.approx(float(exact), rel=1e-14)


def test_harmonic_mean_at_its_limits():
    assert harmonic_mean([0.3]) == pytest.approx(0.3)
    assert harmonic_mean([0.9, 0.0, 0.9]) == 0.0
    assert harmonic_mean([1e-300, 1.0]) == pytest.approx(2e-300)
    for wrong in ([], [0.5, -0.1]):
        with pytest.raises(ValueError, match="harmonic mean"):
            harmonic_mean(wrong)
    assert math.isfinite(harmonic_mean([5e-324, 1.0]))


def test_the_interval_of_a_mean_by_hand():
    # One degree of freedom is Cauchy's, t = tan(0.475 pi) = 12.7062. Of (0, 1): mean 1/2, s / sqrt(2) = 1/2.
    reach = math.tan(0.475 * math.pi) / 2
    found = mean_interval([0.0, 1.0])
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5 - reach, 0.5 + reach))
    # Two: x / sqrt(2 + x^2) = 0.95 gives t = 4.3027. Of (1, 2, 3): mean 2, s = 1.
    reach = math.sqrt(2 * 0.95**2 / (1 - 0.95**2)) / math.sqrt(3)
    found = mean_interval([3.0, 1.0, 2.0])
    assert (found.value, found.low, found.high) == pytest.approx((2, 2 - reach, 2 + reach))


def test_the_interval_of_a_mean_at_its_limits():
    assert (mean_interval([0.3]).value, mean_interval([0.3]).low) == (0.3, None)
    found = mean_interval([0.25] * 4)
    assert (found.low, found.high) == (0.25, 0.25)
    with pytest.raises(ValueError, match="not enough values"):
        mean_interval([])
    # Of many numbers it is the normal interval, 1.96 s / sqrt(n).
    values = np.random.default_rng(0).normal(size=4000)
    found = mean_interval(list(values))
    assert found.high - found.value == pytest.approx(1.959964 * values.std(ddof=1) / math.sqrt(4000), rel=1e-3)


def test_the_interval_of_a_mean_holds_the_truth_in_95_of_100_samples_of_three():
    draws = np.random.default_rng(1).normal(2.0, 3.0, size=(4000, 3))
    held = [found.low <= 2.0 <= found.high for found in map(mean_interval, draws.tolist())]
    assert fmean(held) == pytest.approx(0.95, abs=0.012)

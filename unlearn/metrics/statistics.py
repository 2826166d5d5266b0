"""Statistics over scores: a two-sample test and a mean that forgives nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import ks_2samp
from scipy.stats import t as student_t

from unlearn.metrics.bootstrap import Interval

BELOW_DOUBLE = "< -300"
"""How log10 p is shown where p underflows to 0."""


@dataclass(frozen=True)
class KolmogorovSmirnov:
    """Result of the two-sample test.

    statistic  D = sup_x |F_a(x) - F_b(x)| in [0, 1]
    p_value    two-sided probability of at least this D if both samples came from one distribution
    """

    statistic: float
    p_value: float

    @property
    def log10_p(self) -> float | str:
        """Return log10 p, or "< -300" where p is 0 in a double."""
        return math.log10(self.p_value) if self.p_value > 0 else BELOW_DOUBLE


def ks_two_sample(a: ArrayLike, b: ArrayLike) -> KolmogorovSmirnov:
    """Return the two-sided Kolmogorov-Smirnov test of samples a [n] and b [m], in any unit.

    D = sup_x |F_a(x) - F_b(x)|, exact p up to 10000 values (scipy; Hodges 1958). On the truth ratio of the forget set,
    unlearned against gold, p is TOFU's forget quality (arXiv:2401.06121, section 2.2). It depends on ranks alone, so
    R, 1/R and log R give the same result. Samples are taken as independent, which rows of one person are not.
    """
    result = ks_2samp(np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64))
    return KolmogorovSmirnov(float(result.statistic), float(result.pvalue))


def mean_interval(values: Sequence[float]) -> Interval:
    """Return the mean of n independent numbers and Student's 95% interval for it, without one where n is 1.

    mean +- t(0.975; n - 1) s / sqrt(n), s^2 = sum_i (v_i - mean)^2 / (n - 1) (Student 1908): exact for normal numbers.
    Ends may lie where no number can, beyond 1 or below 0. Raises ValueError for no numbers.
    """
    if len(values) < 2:
        (value,) = values
        return Interval(float(value))
    middle = fmean(values)
    reach = float(student_t.ppf(0.975, len(values) - 1)) * stdev(values, middle) / math.sqrt(len(values))
    return Interval(middle, middle - reach, middle + reach)


def harmonic_mean(values: Sequence[float]) -> float:
    """Return n / sum_i (1 / v_i) of n numbers v_i >= 0 of one unit; 0 where any is 0 (arXiv:2401.06121, section 2.2).

    Raises ValueError for no numbers and for a negative one.
    """
    if not values or min(values) < 0:
        raise ValueError(f"a harmonic mean needs at least one number and none below 0, not {list(values)}")
    if min(values) == 0:
        return 0.0
    return len(values) / math.fsum(1.0 / v for v in values)

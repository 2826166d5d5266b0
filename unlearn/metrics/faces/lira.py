"""U-LIRA: a likelihood ratio attack on unlearning, one pair of Gaussians for every sample.

Hayes et al. 2024, "Inexact unlearning needs more careful evaluations to avoid a false sense of privacy"
(arXiv:2403.01218, section 4). Shadow models are unlearned as the attacked one is. The statistic of a sample is

    x = log(c / (1 - c)),  c = max(0, cos(embedding, the person's enrolment vector)),

clipped to 0.001 .. 0.999: stored embeddings of half precision know a cosine no better. The attack compares x with its
distribution over the models that were trained on the sample and made to forget it (in), and over those that never saw
it (out). Differs from the paper: there c is the probability of the true class, and there is one shadow's forget set.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logit
from scipy.stats import norm

from unlearn.errors import UserError
from unlearn.metrics.faces.attack import Verdicts
from unlearn.metrics.faces.enrolment import Bools, Ints
from unlearn.metrics.scores import Floats

CLIP = 1e-3
SMALLEST_SIGMA = 1e-3
"""Of samples on which models agree to the clip the deviation is 0, and so is what it divides."""
MAD_OF_NORMAL = 0.6745
"""Median absolute deviation of the standard normal distribution, as published code rounds it."""


def confidence_logit(cosine: ArrayLike) -> Floats:
    """Return x of cosines of any shape, in nats, in -6.9 .. 6.9."""
    return logit(np.clip(np.asarray(cosine, dtype=np.float64), CLIP, 1 - CLIP))


def pooled(logits: Floats, inside: Bools, outside: Bools, person: Ints, fold: Ints) -> Verdicts:
    """Attack each fold of models with the Gaussians of all the others; arrays are [M, S], [S] and [M].

    log N(x; m_in, v) - log N(x; m_out, v) = (m_in - m_out) (x - (m_in + m_out) / 2) / v
    v = (sum of squares about m_in + sum of squares about m_out) / (models - 2), one for both sides

    With folds of pairs (`accuracy.pairs`) a fold takes one model from each side of a sample, and equal models are at
    1/2 in expectation. Left out singly (`fold` = 0 .. M - 1) a model moves the mean of its own side away from itself:
    the area of equal models is then below 1/2, in simulations 0.493 for 8 models a side.

    The ratio says how sure the attack is on one scale for all samples, so areas and rates are over all cells. Means
    alone are compared: models that are too much alike are seen by `released` and by KLoM. Raises UserError where a
    fold's being left out leaves a sample with no model on a side, or with two in all.
    """
    ratio = np.empty_like(logits, dtype=np.float64)
    for left in np.unique(fold):
        out = fold == left
        sides = [_mean_and_squares(logits[~out], mask[~out]) for mask in (inside, outside)]
        (n_in, m_in, s_in), (n_out, m_out, s_out) = sides
        if min(n_in.min(), n_out.min()) < 1 or (n_in + n_out).min() < 3:
            raise UserError(
                "A sample has too few models to fit the attack's Gaussians once a fold is left out; it takes one that "
                "forgot it, one that never saw it, and a third: evaluate more splits."
            )
        variance = np.maximum((s_in + s_out) / (n_in + n_out - 2), SMALLEST_SIGMA**2)
        ratio[out] = (m_in - m_out) * (logits[out] - 0.5 * (m_in + m_out)) / variance
    return Verdicts(ratio, inside, outside, person, fold)


def released(logits: Floats, inside: Bools, outside: Bools, person: Ints, fold: Ints, shadows: int = 32) -> Verdicts:
    """Attack with the first `shadows` models on each side of a sample as its fixed shadows, and all others attacked.

    log N(x; m_in, s_in) - log N(x; m_out, s_out), m the median and s = MAD / 0.6745 of a side's shadows

    Medians forgive outliers and waste data: of 32 shadows a side, as published, accuracy is 0.572 where Bayes' rule has
    0.599; of four it is noise. The shadows are the same for all who are attacked, so intervals say nothing of how other
    shadows would have done. Differs from the published code: that attacks the shadows themselves. Raises UserError
    where a sample has no model besides its shadows.
    """
    chosen = [mask & (np.cumsum(mask, axis=0) <= shadows) for mask in (inside, outside)]
    fewest = min(int(mask.sum(axis=0).min()) for mask in (inside, outside))
    if fewest <= shadows:
        raise UserError(
            f"A sample has {fewest} models on a side, and U-LIRA `released` takes {shadows} of them as shadows and "
            f"attacks the rest; lower the number of shadows, or evaluate more splits."
        )
    log_in, log_out = (_robust_log_density(logits, mask, shadows) for mask in chosen)
    return Verdicts(log_in - log_out, inside & ~chosen[0], outside & ~chosen[1], person, fold)


def _mean_and_squares(values: Floats, mask: Bools) -> tuple[Floats, Floats, Floats]:
    """Return [S] the number of masked values, their mean, and the sum of squares about it."""
    number = mask.sum(axis=0)
    mean = np.where(mask, values, 0).sum(axis=0) / np.maximum(number, 1)
    return number, mean, np.square(np.where(mask, values - mean, 0)).sum(axis=0)


def _robust_log_density(values: Floats, mask: Bools, number: int) -> Floats:
    """Return [M, S] log density of all values under the Gaussian of the `number` masked ones of each column."""
    kept = np.sort(np.where(mask, values, np.inf), axis=0)[:number]
    middle = np.median(kept, axis=0)
    sigma = np.maximum(np.median(np.abs(kept - middle), axis=0) / MAD_OF_NORMAL, SMALLEST_SIGMA)
    return norm.logpdf(values, middle, sigma)

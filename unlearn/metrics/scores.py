"""Per-sample scores of an item from the losses of its answers.

A loss is the mean negative log-probability of an answer's tokens in nats, the end token included. Wrong answers may
differ in number between items, so their losses are one list per item and never a padded array.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logsumexp

Floats = NDArray[np.float64]

EXP_LIMIT = 700.0
"""exp overflows a double at 709.78, and JSON has no infinity."""


def probability(loss: ArrayLike) -> Floats:
    """Return [n] p = exp(-loss) in [0, 1] of losses [n] (nats per token).

    The length-normalised probability P(a|q)^(1/|a|) of an answer (TOFU, Maini et al. 2024, arXiv:2401.06121,
    section 2.2).
    """
    return np.exp(-np.asarray(loss, dtype=np.float64))


def choice_probability(loss: ArrayLike, wrong_losses: Sequence[ArrayLike]) -> Floats:
    """Return [n] p(true) / (p(true) + sum_k p(wrong_k)) in [0, 1] of losses [n] and n lists of wrong losses [K_i].

    TOFU's probability for multiple choice (arXiv:2401.06121, section 2.2); chance is 1 / (1 + K_i). With p = exp(-loss)
    it is 1 / (1 + sum_k exp(loss - wrong_k)), which stays defined where every p underflows.
    """
    pairs = zip(np.asarray(loss, dtype=np.float64), wrong_losses, strict=True)
    return np.array([expit(-logsumexp(true - np.asarray(wrong, dtype=np.float64))) for true, wrong in pairs])


def log_truth_ratio(paraphrase_loss: ArrayLike, wrong_losses: Sequence[ArrayLike]) -> Floats:
    """Return [n] log R = mean_k loss(wrong_k) - loss(paraphrase), in nats, of losses [n] and n lists [K_i].

    R is the inverse of TOFU's truth ratio (arXiv:2401.06121, equation 1): above 1 where the model prefers the true
    answer in other words to wrong answers. In sets without paraphrase the true answer takes its place.
    """
    wrong = np.array([np.mean(losses) for losses in wrong_losses], dtype=np.float64)
    paraphrase = np.asarray(paraphrase_loss, dtype=np.float64)
    if wrong.shape != paraphrase.shape:
        raise ValueError(f"{paraphrase.shape} paraphrase losses but {wrong.shape} lists of wrong losses")
    return wrong - paraphrase


def truth_ratio(log_ratio: ArrayLike) -> Floats:
    """Return [n] R = exp(log R), without unit, within exp(+-700); `truth_ratio(-log_ratio)` is 1/R, as TOFU logs it."""
    return np.exp(np.clip(np.asarray(log_ratio, dtype=np.float64), -EXP_LIMIT, EXP_LIMIT))


def closeness(log_ratio: ArrayLike) -> Floats:
    """Return [n] min(R, 1/R) = exp(-|log R|) in (0, 1] of log R [n].

    TOFU's truth ratio on the forget set (arXiv:2401.06121, section 2.2): 1 where the model cannot tell the true answer
    from wrong ones, towards 0 where it prefers either.
    """
    return np.exp(-np.abs(np.asarray(log_ratio, dtype=np.float64)))


def knowledge(log_ratio: ArrayLike) -> Floats:
    """Return [n] max(0, 1 - 1/R) in [0, 1) of log R [n].

    TOFU's truth ratio on every other set (arXiv:2401.06121, section 2.2): 0 where wrong answers are as likely or more.
    """
    preferred = np.maximum(np.asarray(log_ratio, dtype=np.float64), 0.0)
    return 1.0 - np.exp(-preferred)


def preference(log_ratio: ArrayLike) -> Floats:
    """Return [n] q = R / (1 + R) in [0, 1] of log R [n].

    The probability of the true answer in other words against one wrong answer of mean loss: 1/2 where the model cannot
    tell them apart. Unlike R it is bounded, so that no single item decides a mean.
    """
    return expit(np.asarray(log_ratio, dtype=np.float64))

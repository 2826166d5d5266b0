"""U-MIA: one attack for all samples, a logistic regression on what a model says of a picture.

The "population" membership attack on unlearning (Hayes et al. 2024, arXiv:2403.01218, section 4): unlike U-LIRA it
knows nothing of the single sample, so it is weaker, and closer to what somebody without shadow models of each person
could do. Differs from the paper: a regression on four features, for a classifier on the logits.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from unlearn.metrics.faces.attack import Verdicts
from unlearn.metrics.faces.enrolment import Bools, Cosines, Ints
from unlearn.metrics.faces.lira import confidence_logit
from unlearn.metrics.scores import Floats

FOLDS = 8
"""At most: each costs one regression, and 7/8 of the models tell what all would."""
RIDGE = 1e-3
"""Penalty on the squared weights of standardised features: classes that can be separated have no largest likelihood."""


def features(found: Cosines) -> Floats:
    """Return [M, N, 4]: the logit of the confidence, the lead over the nearest other, the margin, log length.

    The first three are how well, how uniquely and among how many the person is known; the last is of the embedding.
    """
    lead = found.own - found.other
    return np.stack([confidence_logit(found.own), lead, found.margin, np.log(found.length + 1e-12)], axis=-1)


def regressed(values: Floats, inside: Bools, outside: Bools, person: Ints, fold: Ints) -> Verdicts:
    """Attack an eighth of the folds of models with the regression of all the others, features values [M, S, F].

    The ratio is w x + b, the log-odds of "in" where both sides are as frequent: sides count alike however many cells
    they have.
    """
    ratio = np.empty(values.shape[:2])
    part = fold % FOLDS
    for left in np.unique(part):
        out = part == left
        members, others = (values[~out][mask[~out]] for mask in (inside, outside))
        both = np.concatenate([members, others])
        middle, spread = both.mean(axis=0), np.maximum(both.std(axis=0), 1e-12)
        weights = fit((members - middle) / spread, (others - middle) / spread)
        ratio[out] = ((values[out] - middle) / spread) @ weights[:-1] + weights[-1]
    return Verdicts(ratio, inside, outside, person, fold)


def fit(members: Floats, others: Floats) -> Floats:
    """Return [F + 1] w and b of the least mean log-loss of both sides + 0.0005 |w|^2, of features [n, F] and [m, F].

    1/2 mean log(1 + exp(-(w x + b))) over members + 1/2 mean log(1 + exp(w x + b)) over others; L-BFGS (Liu and Nocedal
    1989).
    """
    x = np.concatenate([members, others])
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    sign = np.repeat([1.0, -1.0], [len(members), len(others)])
    share = np.repeat([0.5 / len(members), 0.5 / len(others)], [len(members), len(others)])
    ridge = np.append(np.full(x.shape[1] - 1, RIDGE), 0.0)

    def loss(weights: Floats) -> tuple[float, Floats]:
        right = sign * (x @ weights)
        value = share @ np.logaddexp(0, -right) + 0.5 * ridge @ weights**2
        return float(value), x.T @ (-share * sign * expit(-right)) + ridge * weights

    return minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options={"gtol": 1e-8}).x

"""Accuracy of identification by what each model was trained on, and how far it is from gold's, with intervals.

Intervals are over models ("clustered by model"): pictures of one model are right or wrong together, so that the models
are what there are many of. They say nothing of how other people would have done; the attacks' intervals do (attack.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from unlearn.errors import UserError
from unlearn.metrics.bootstrap import Interval
from unlearn.metrics.faces.enrolment import Bools, Ints, Roster
from unlearn.metrics.scores import Floats
from unlearn.metrics.statistics import mean_interval


@dataclass(frozen=True)
class Sets:
    """Which people belong to which set of which model, [M, P] each.

    forget   trained on, then to be forgotten (gold: left out of the training)
    retain   trained on and kept
    unseen   neither: this model never saw them
    holdout  those of the unseen whom another model forgets, so as hard to identify as the forgotten
    """

    forget: Bools
    retain: Bools
    unseen: Bools
    holdout: Bools


def sets(forget: Bools, retain: Bools) -> Sets:
    """Return the sets of models that forget and retain people, [M, P] each."""
    assert not (forget & retain).any(), "a person is forgotten and retained by one model"
    unseen = ~(forget | retain)
    return Sets(forget, retain, unseen, unseen & forget.any(axis=0))


def pairs(models: int) -> Ints:
    """Return [M] folds of two: i and i + M/2, so that a person of a block is in for one of them and out for the other.

    Raises UserError for an odd number.
    """
    if models % 2:
        raise UserError(f"There are {models} models, and they are compared in pairs i and i + half; evaluate all.")
    return np.arange(models) % (models // 2)


def person_means(values: Floats | Bools, of: Roster) -> Floats:
    """Return [M, P] the mean of values [M, N] over each person's scored pictures."""
    weights = np.zeros((len(of.person), len(of.names)))
    scored = np.flatnonzero(~of.enrols)
    weights[scored, of.person[scored]] = 1
    return values @ (weights / weights.sum(axis=0))


def accuracies(identified: Bools, of: Roster, among: Sets) -> dict[str, Floats]:
    """Return each model's accuracy [M] in [0, 1] on every set: the share of its scored pictures identified [M, N].

    NaN for a model with nobody in a set. Every picture counts alike, so people by the number of theirs.
    """
    return {field.name: set_accuracy(identified, of, getattr(among, field.name)) for field in fields(among)}


def set_accuracy(identified: Bools, of: Roster, members: Bools) -> Floats:
    """Return [M] the share of the scored pictures of `members` [M, P] that are identified [M, N], NaN for nobody."""
    counts = np.bincount(of.person[~of.enrols], minlength=len(of.names)).astype(float)
    right = (person_means(identified, of) * counts * members).sum(axis=1)
    pictures = members @ counts
    return np.divide(right, pictures, out=np.full(len(right), np.nan), where=pictures > 0)


def over_models(values: Floats, fold: Ints) -> Interval | None:
    """Return the mean over models of values [M] and its 95% interval; None where all are NaN.

    Student's interval over the means of the folds: what the two of a pair have in common, as the one block's people are
    easier than the other's, cancels in their mean. A fold with a NaN counts by the rest of it.
    """
    known = np.isfinite(values)
    means = [values[known & (fold == which)].mean() for which in np.unique(fold[known])]
    return mean_interval(means) if means else None


def gaps(model: Mapping[str, Floats], gold: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return accuracy - gold's accuracy [M] on every set, model by model: gold i is trained on what i retains.

    Above 0 on the forget set: still known; below 0: over-forgotten.
    """
    return {name: model[name] - gold[name] for name in model}


TOW_SETS = ("forget", "retain", "unseen")


def tug_of_war(gap: Mapping[str, Floats]) -> Floats:
    """Return [M] ToW = product over forget, retain and unseen of 1 - |accuracy - gold's accuracy|, in [0, 1].

    Zhao et al. 2024 (arXiv:2406.01257, section 3), with the unseen people for the paper's test set. 1: as gold on all.
    """
    return np.prod([1 - np.abs(gap[name]) for name in TOW_SETS], axis=0)

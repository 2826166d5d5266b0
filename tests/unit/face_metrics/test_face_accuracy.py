"""Accuracies by set, gaps to gold, ToW and intervals over models: by hand and against loops."""

import numpy as np
import pytest

from unlearn.errors import UserError
from unlearn.metrics.faces.accuracy import (
    accuracies,
    gaps,
    over_models,
    pairs,
    person_means,
    sets,
    tug_of_war,
)
from unlearn.metrics.faces.enrolment import roster

NAMES = ["a", "b", "a", "c", "b", "c", "a", "d", "d"]
# Scored are rows 2 and 6 of a, 4 of b, 5 of c and 8 of d.
OF = roster(NAMES, 1)


def flags(*rows):
    return np.array([[name in row for name in "abcd"] for row in rows])


def test_the_sets_of_every_model():
    among = sets(forget=flags("a", "b", "a"), retain=flags("c", "c", "d"))
    assert (among.unseen == flags("bd", "ad", "bc")).all()
    # c and d are forgotten by no model, so they are no holdout people.
    assert (among.holdout == flags("b", "a", "b")).all()
    with pytest.raises(AssertionError):
        sets(flags("a"), flags("ab"))


def test_accuracies_by_hand():
    hits = np.array([[1, 1, 1, 1, 0, 1, 0, 1, 0], [0, 0, 0, 0, 1, 0, 1, 0, 1]], dtype=bool)
    found = accuracies(hits, OF, sets(flags("a", "b"), flags("bc", "")))
    assert found["forget"].tolist() == [0.5, 1]
    # Model 0 keeps b (a miss) and c (a hit); model 1 keeps nobody. Pictures that enrol do not count.
    assert found["retain"][0] == 0.5
    assert np.isnan(found["retain"][1])
    # Two pictures of a, one of c and d each: a half of four for model 1.
    assert found["unseen"].tolist() == [0, 0.5]
    assert np.isnan(found["holdout"][0])
    assert found["holdout"][1] == 0.5


def test_accuracies_and_means_against_loops():
    rng = np.random.default_rng(0)
    names = [f"p{i}" for i in rng.permutation([*range(6), *range(6), *range(6), 0, 0, 3])]
    of, hits = roster(names, 1), rng.random((4, 21)) < 0.5
    forget = rng.random((4, 6)) < 0.4
    among = sets(forget, ~forget & (rng.random((4, 6)) < 0.5))
    found, means = accuracies(hits, of, among), person_means(hits, of)
    for name in ("forget", "retain", "unseen", "holdout"):
        members = getattr(among, name)
        for model in range(4):
            scored = [n for n in range(21) if not of.enrols[n] and members[model, of.person[n]]]
            expected = np.mean([hits[model, n] for n in scored]) if scored else np.nan
            assert found[name][model] == pytest.approx(expected, nan_ok=True)
    for person in range(6):
        own = [n for n in range(21) if of.person[n] == person and not of.enrols[n]]
        assert means[:, person] == pytest.approx(hits[:, own].mean(axis=1))


def test_tug_of_war_by_hand():
    model = {"forget": np.array([0.3, 1.0]), "retain": np.array([0.9, 1.0]), "unseen": np.array([0.5, 0.0])}
    gold = {"forget": np.array([0.2, 0.0]), "retain": np.array([1.0, 1.0]), "unseen": np.array([0.25, 0.0])}
    gap = gaps(model, gold)
    assert gap["retain"] == pytest.approx([-0.1, 0])
    assert tug_of_war(gap) == pytest.approx([0.9 * 0.9 * 0.75, 0])
    assert tug_of_war(gaps(gold, gold)).tolist() == [1, 1]


def test_an_interval_is_over_pairs_so_that_what_they_have_in_common_cancels():
    # The first half of the models is at 0.2, the second at 0.6: their pairs are all at 0.4.
    values = np.repeat([0.2, 0.6], 3)
    found = over_models(values, pairs(6))
    assert (found.value, found.low, found.high) == pytest.approx((0.4, 0.4, 0.4))
    # Means 1 and 3 of two folds: t(0.975; 1) = 12.706 times s / sqrt(2) = 1.
    found = over_models(np.array([0.0, 2, 2, 4]), np.array([0, 0, 1, 1]))
    assert (found.value, found.high) == pytest.approx((2, 14.706), abs=1e-3)


def test_models_without_a_number_do_not_count():
    found = over_models(np.array([0.25, np.nan, np.nan, np.nan, 0.75, np.nan]), pairs(6))
    assert found.value == 0.5
    assert over_models(np.full(4, np.nan), pairs(4)) is None


def test_pairs_are_of_both_halves():
    assert pairs(6).tolist() == [0, 1, 2, 0, 1, 2]
    with pytest.raises(UserError, match="There are 5 models"):
        pairs(5)

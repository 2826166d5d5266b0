"""How a router is fitted: classifier, threshold and entity tokens, by hand and against naive twins."""

import math
import random

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from unlearn.errors import UserError
from unlearn.models.router import Router, runs_of
from unlearn.routing import best_threshold, entities, features, fit, log_odds_z, logistic, split


def words(text):
    return tuple(text.encode())


def prompts_about(names, seed):
    """Return 6 questions a name, none of which comes twice."""
    rng = random.Random(seed)
    wordings = (
        "Where is {}?",
        "What does {} eat?",
        "Who knows {}?",
        "When was {} born?",
        "Is {} happy?",
        "Can {} fly?",
    )
    return [words(wording.format(name)) for name in names for wording in rng.sample(wordings, len(wordings))]


FORGET, RETAIN = prompts_about(["Ada", "Zoe"], 0), prompts_about(["Bo", "Cy", "Dan", "Eve", "Flo", "Gus"], 1)


def naive_loss(rows, labels, w, b, l2):
    losses = [
        math.log(1 + math.exp(-y * (b + sum(x * v for x, v in zip(row, w, strict=True)))))
        for row, y in zip(rows, labels, strict=True)
    ]
    return sum(losses) / len(losses) + l2 / 2 * sum(v * v for v in w)


def test_without_features_the_bias_is_the_log_odds_of_the_sides():
    _, bias = logistic(csr_matrix((4, 0)), np.array([1.0, -1.0, -1.0, -1.0]), 1.0)
    assert bias == pytest.approx(math.log(1 / 3), abs=1e-4)


def test_one_mirrored_feature_is_where_slope_and_penalty_meet():
    # d/dw [log(1 + e^-w) + w^2/2] = 0: w = 1 / (1 + e^w), so w = 0.40106.
    (w,), bias = logistic(csr_matrix([[1.0], [-1.0]]), np.array([1.0, -1.0]), 1.0)
    assert w == pytest.approx(1 / (1 + math.exp(w)), abs=1e-5) == pytest.approx(0.40106, abs=1e-4)
    assert bias == pytest.approx(0, abs=1e-5)


def test_no_neighbour_is_better_in_plain_python():
    rng = random.Random(0)
    rows = [[rng.gauss(0, 1) for _ in range(3)] for _ in range(12)]
    labels = [rng.choice((-1.0, 1.0)) for _ in rows]
    w, b = logistic(csr_matrix(rows), np.array(labels), 0.1)
    best = naive_loss(rows, labels, w, b, 0.1)
    for place in range(4):
        for step in (-0.02, 0.02):
            point = [*w, b]
            point[place] += step
            assert naive_loss(rows, labels, point[:3], point[3], 0.1) > best


def test_the_threshold_by_hand():
    # The cuts -1, .5, 1.5, 2.5 have F1 4/6, 4/5, 2/4, 2/3.
    assert best_threshold(np.array([1.0, 3.0]), np.array([0.0, 2.0])) == 0.5
    assert best_threshold(np.array([3.0, 4.0]), np.array([0.0, 1.0])) == 2.0
    # -1 and 2.5 have 2/3 each: the highest cut routes the fewest prompts that are to be kept.
    assert best_threshold(np.array([0.0, 3.0]), np.array([1.0, 2.0])) == 2.5


def test_entities_by_hand():
    forget, retain = [(7, 1), (7, 2), (7, 3)], [(1, 2), (2, 3), (3, 1), (8, 1)]
    # 7 is in 3 of 3 and 0 of 4: log(3.5 x 4.5 / .5 / .5) / sqrt(1/3.5 + 1/.5 + 1/.5 + 1/4.5) = 1.9516.
    z = math.log(3.5 * 4.5 / 0.25) / math.sqrt(1 / 3.5 + 4 + 1 / 4.5)
    assert z == pytest.approx(1.9516, abs=1e-3)
    assert entities(forget, retain, z - 1e-9) == {(7,)}
    assert entities(forget, retain, z + 1e-9) == frozenset()
    # Thrice in one prompt is in 1 of 2: log(1.5 x 4.5 / .5 / 1.5) / sqrt(1/1.5 + 2 + 1/1.5 + 1/4.5) = 1.165.
    assert entities([(7, 7, 7), (1,)], retain, 1.16) == {(7,)}
    assert entities([(7, 7, 7), (1,)], retain, 1.17) == frozenset()


def test_a_name_of_shared_words_is_an_entity_as_a_whole():
    forget, retain = [(1, 2, 5), (1, 2, 6), (1, 2, 7)], [(1, 3, 5), (1, 3, 6), (4, 2, 7), (4, 2, 5)]
    # 1 and 2 are in 3 of 3 and 2 of 4, z = 1.107; both together in 3 of 3 and 0 of 4, z = 1.9516.
    assert log_odds_z(3, 0, 2, 2) == pytest.approx(math.log(7) / math.sqrt(1 / 3.5 + 2 + 2 / 2.5))
    assert entities(forget, retain, 1.5) == {(1, 2)}
    assert entities(forget, retain, 1.0) == {(1,), (2,)}


def test_every_fifth_prompt_is_held_out_whatever_their_order():
    fitted, held = split(RETAIN, 0)
    assert (len(fitted), len(held)) == (28, 8)
    assert {*fitted, *held} == set(RETAIN)
    assert split(RETAIN[::-1], 0) == (fitted, held)
    assert split(RETAIN, 1) != (fitted, held)
    assert tuple(map(len, split(RETAIN[:2], 0))) == (1, 1)


def test_a_fitted_router_picks_unseen_prompts_about_the_forgotten_people():
    found = fit(FORGET, RETAIN, 0, 1e-6)
    names = entities(FORGET, RETAIN, 2.0)
    router = Router(**vars(found), entities=names, ignored=frozenset(), noise=1.0, seed=0)
    for name, routed in {"Ada": True, "Zoe": True, "Bo": False, "Eve": False, "Hal": False}.items():
        for wording in ("Do you remember what {} said?", "{} lives where?"):
            assert router.routes(words(wording.format(name))) is routed, (name, wording)
    assert not router.routes(words("What is the largest river of Africa?"))
    # The score at inference is that of fitting.
    index = {run: i for i, run in enumerate(found.weights)}
    fitted = features(RETAIN, index) @ np.array(list(found.weights.values())) + found.bias
    assert fitted == pytest.approx([router.score(ids) for ids in RETAIN])
    assert set(found.weights) == set().union(*map(runs_of, [*split(FORGET, 0)[0], *split(RETAIN, 0)[0]]))


def test_fitting_depends_on_the_prompts_alone():
    assert fit(FORGET, RETAIN, 0, 1e-6) == fit(FORGET[::-1], RETAIN[::-1], 0, 1e-6)


@pytest.mark.parametrize(("forget", "retain"), [(FORGET[:1], RETAIN), (FORGET, RETAIN[:1]), ([], RETAIN)])
def test_a_side_of_less_than_two_prompts_is_refused(forget, retain):
    with pytest.raises(UserError, match=f"given are {len(forget)} to be forgotten and {len(retain)} to be kept"):
        fit(forget, retain, 0, 1e-6)

"""Membership attacks: each score and curve by hand, against naive twins, and on models whose answer is known."""

import math
import random
import zlib

import numpy as np
import pytest

from unlearn.metrics.membership import (
    Sample,
    attack_scores,
    auc,
    min_k,
    min_k_plus_plus,
    privleak,
    tpr_at_fpr,
    zlib_ratio,
)


def once(*values):
    return Sample(np.array(values, dtype=float), np.ones((len(values), 1)))


def test_min_k_by_hand():
    # floor(0.4 x 5) = 2 of five tokens: -(-4 - 3) / 2; floor(0.4 x 4) = 1 of four; one token where floor is 0.
    assert min_k([-1.0, -4.0, -2.0, -3.0, -0.5]) == 3.5
    assert min_k([-1.0, -4.0, -2.0, -3.0]) == 4.0
    assert min_k([-0.25]) == 0.25
    assert min_k([-2.0, -1.0]) == 2.0


def test_min_k_plus_plus_by_hand():
    # z = (-1 + 2) / 2, (-4 + 1) / 1, (0 + 3) / 3: the lowest of three is -3.
    assert min_k_plus_plus([-1.0, -4.0, 0.0], [-2.0, -1.0, -3.0], [2.0, 1.0, 3.0]) == 3.0
    # A model that is certain of a token, and right, has no surprise; one that is certain and wrong has a finite one.
    assert min_k_plus_plus([0.0], [0.0], [0.0]) == 0.0
    assert min_k_plus_plus([-150.0], [0.0], [0.0]) == pytest.approx(150e6)


def test_min_k_against_naive_twins():
    rng = random.Random(1)
    for _ in range(200):
        length = rng.randint(1, 40)
        logp, mu = ([-rng.uniform(0, 9) for _ in range(length)] for _ in range(2))
        sigma = [rng.uniform(0.1, 3) for _ in range(length)]
        lowest, kept = list(logp), []
        while len(kept) < max(1, int(0.4 * length)):
            kept.append(min(lowest))
            lowest.remove(kept[-1])
        assert min_k(logp) == pytest.approx(-sum(kept) / len(kept))
        z = sorted((p - m) / s for p, m, s in zip(logp, mu, sigma, strict=True))[: len(kept)]
        assert min_k_plus_plus(logp, mu, sigma) == pytest.approx(-sum(z) / len(z))


def test_zlib_divides_by_the_compressed_length():
    text = "Ann Lee was born in Zürich. " * 20
    assert zlib_ratio(1.5, text) == 1.5 / len(zlib.compress(bytes(text, "utf-8")))
    assert zlib_ratio(1.5, text) > 5 * zlib_ratio(1.5, "".join(random.Random(0).choices("abcdefghijklmno", k=560)))


def record(text, logp, **more):
    true = {"text": text, "logp": logp, "mu": [-1.0] * len(logp), "sigma": [1.0] * len(logp), "hit": [1] * len(logp)}
    return {"answers": {"true": true, "paraphrase": None, "wrong": []}, **more}


def test_scores_of_a_record_by_hand():
    scores = attack_scores(record("Rome", [-1.0, -3.0]))
    assert scores == {
        "mia_zlib": 2.0 / len(zlib.compress(b"Rome")),
        "mia_min_k": 3.0,
        "mia_min_k_plus_plus": 2.0,
    }
    assert attack_scores(record("Rome", [-1.0], gradient_norm=0.5))["mia_gradient_norm"] == 0.5


def naive_auc(members, others):
    wins = 0.0
    for member in members:
        for other in others:
            wins += 1.0 if member < other else 0.5 if member == other else 0.0
    return wins / (len(members) * len(others))


def naive_tpr(members, others, rate):
    """The best of all thresholds that take at most `rate` of the others; items up to it are said to be members."""
    best = 0.0
    for threshold in [-math.inf, *members, *others]:
        if sum(other <= threshold for other in others) <= rate * len(others):
            best = max(best, sum(member <= threshold for member in members) / len(members))
    return best


def test_areas_by_hand():
    assert auc(once(1, 2), once(3, 4)) == [1.0]
    assert auc(once(3, 4), once(1, 2)) == [0.0]
    assert auc(once(1, 1), once(1)) == [0.5]
    # Of six pairs four are in order, one ties.
    assert auc(once(1, 3), once(2, 3, 4)) == [4.5 / 6]


def test_true_positives_by_hand():
    others = once(*range(10, 20))
    assert tpr_at_fpr(once(1, 9, 10.5, 30), others, 0.1) == [0.75]
    assert tpr_at_fpr(once(1, 9, 10.5, 30), others, 0.0) == [0.5]
    assert tpr_at_fpr(once(1, 9, 10.5, 30), others, 1.0) == [1.0]
    # Members that tie with the first other beyond the allowed ones cannot be had without it.
    assert tpr_at_fpr(once(10, 11, 11), others, 0.1) == [1 / 3]
    assert tpr_at_fpr(once(5, 6), once(*([7.0] * 4)), 0.25) == [1.0]


def drawn(rng, ties):
    values = [rng.gauss(0, 1) for _ in range(rng.randint(1, 60))]
    return [round(v, 1) for v in values] if ties else values


@pytest.mark.parametrize("ties", [False, True])
def test_curves_against_naive_twins(ties):
    rng = random.Random(2)
    for _ in range(100):
        members, others, rate = drawn(rng, ties), drawn(rng, ties), rng.choice([0.0, 0.01, 0.1, 0.29, 0.5])
        assert auc(once(*members), once(*others))[0] == pytest.approx(naive_auc(members, others))
        assert tpr_at_fpr(once(*members), once(*others), rate)[0] == pytest.approx(naive_tpr(members, others, rate))


def test_weights_count_an_item_that_often():
    rng = np.random.default_rng(3)
    values = [np.round(rng.normal(size=n), 1) for n in (12, 9)]
    counts = [rng.integers(0, 4, size=(n, 7)).astype(float) for n in (12, 9)]
    counts[0][0], counts[1][0] = 1, 1
    weighted = [Sample(v, c) for v, c in zip(values, counts, strict=True)]
    areas, rates = auc(*weighted), tpr_at_fpr(*weighted, 0.2)
    for r in range(7):
        members, others = (np.repeat(v, c[:, r].astype(int)) for v, c in zip(values, counts, strict=True))
        assert areas[r] == pytest.approx(naive_auc(members, others))
        assert rates[r] == pytest.approx(naive_tpr(members, others, 0.2))


def test_privleak_by_hand():
    # Gold at 1/2; a model whose members look trained on hides nothing, one that over-forgot hides more than gold.
    assert privleak([1.0, 0.5, 0.75, 0.25, 0.0], 0.5) == pytest.approx([-100, 0, -50, 50, 100])
    assert privleak(0.6, 0.8) == pytest.approx(100 * ((1 - 0.6) - (1 - 0.8)) / (1 - 0.8))

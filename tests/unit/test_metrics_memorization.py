"""Exact memorisation and extraction strength: by hand, against naive twins, and at their limits."""

import random

import pytest

from unlearn.metrics.memorization import exact_memorization, extraction_strength, memorization

CASES = [
    # hits with the end token last, share of hits, longest correct suffix of the answer over its length
    ([1, 1, 1, 1], 1.0, 1.0),
    ([0, 0, 0, 0], 0.0, 0.0),
    ([1, 0, 1, 1], 0.75, 1 / 3),
    ([0, 1, 1, 0, 1], 0.6, 0.0),
    ([1, 1, 0, 1, 1, 0], 4 / 6, 2 / 5),
    ([0, 1], 0.5, 0.0),
    ([1, 0], 0.5, 1.0),
]


@pytest.mark.parametrize(("hits", "share", "strength"), CASES)
def test_by_hand(hits, share, strength):
    assert memorization(hits) == {"exact_memorization": share, "extraction_strength": pytest.approx(strength)}


def naive_strength(hits):
    """The definition: 1 minus the smallest share of the answer after which greedy decoding says the rest."""
    length = len(hits) - 1
    for prefix in range(length):
        if all(hits[t] == 1 for t in range(prefix, length)):
            return 1 - prefix / length
    return 0.0


def naive_share(hits):
    found = 0
    for hit in hits:
        if hit == 1:
            found += 1
    return found / len(hits)


def test_against_naive_twins():
    rng = random.Random(0)
    for _ in range(300):
        sure = rng.random()
        hits = [int(rng.random() < sure) for _ in range(rng.randint(2, 30))]
        assert extraction_strength(hits) == pytest.approx(naive_strength(hits), abs=1e-12)
        assert exact_memorization(hits) == pytest.approx(naive_share(hits), abs=1e-12)


def test_no_match_scores_0_and_not_like_one_token_matched():
    assert extraction_strength([1, 1, 1, 0, 1]) == 0.0
    assert extraction_strength([1, 1, 0, 1, 1]) == 1 / 4
    # The end of a sentence is no secret, and to miss it alone gives none of the answer back.
    assert extraction_strength([0, 0, 0, 0, 1]) == 0.0
    assert extraction_strength([1, 1, 1, 1, 0]) == 1.0

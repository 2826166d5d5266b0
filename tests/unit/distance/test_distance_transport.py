"""Wasserstein-1 distance and mean difference of weighted samples."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from unlearn.metrics.transport import Scored, transport


def scored(values, rows=None):
    return Scored(np.array(values, dtype=float), np.arange(len(values)) if rows is None else np.array(rows))


def one(model, *pool):
    """Return distance and shift with every item and gold once."""
    found = transport(scored(model), [scored(p) for p in pool], np.ones((len(model), 1)), np.ones((len(pool), 1)))
    return [float(values[0]) for values in found]


def test_by_hand():
    # Mass 1/2 moves from 0 to 0.3, the other half stays at 1.
    assert one([0.3, 1.0], [0.0, 1.0]) == pytest.approx([0.15, 0.15])
    # Between 0 and 1 half of the mass is missing here and half there: |1 - 1/2| over 1; the means agree.
    assert one([0.5, 0.5], [0.0, 1.0]) == pytest.approx([0.5, 0.0])
    # Two golds of one distribution each: the pool is {0, 0, 1, 1}.
    assert one([0.0, 1.0], [0.0, 0.0], [1.0, 1.0]) == pytest.approx([0.0, 0.0])


def test_limits():
    rng = np.random.default_rng(0)
    gold = rng.uniform(0, 0.5, 50)
    assert one(rng.permutation(gold), gold, gold) == pytest.approx([0, 0], abs=1e-15)
    assert one(gold + 0.25, gold) == pytest.approx([0.25, 0.25])
    assert one(gold - 0.25, gold) == pytest.approx([0.25, -0.25])
    assert one([1.0, 1.0], [0.0, 0.0]) == pytest.approx([1, 1])


def test_weights_against_samples_spelled_out():
    """A person drawn twice is a person whose rows stand there twice, and so is a gold."""
    rng = np.random.default_rng(1)
    people = np.repeat(np.arange(5), 3)
    model = scored(rng.uniform(size=15).round(1), people)
    golds = [scored(rng.uniform(size=15).round(1), rng.permutation(people)) for _ in range(3)]
    counts = rng.multinomial(5, np.full(5, 0.2), size=300).T.astype(float)
    seeds = rng.multinomial(3, np.full(3, 1 / 3), size=300).T.astype(float)
    distance, shift = transport(model, golds, counts, seeds)
    for i in range(300):
        times = counts[:, i].astype(int)
        mine = np.repeat(model.values, times[model.rows])
        drawn = zip(golds, seeds[:, i].astype(int), strict=True)
        pool = np.concatenate([np.tile(np.repeat(g.values, times[g.rows]), often) for g, often in drawn])
        assert distance[i] == pytest.approx(wasserstein_distance(mine, pool), abs=1e-12)
        assert shift[i] == pytest.approx(mine.mean() - pool.mean(), abs=1e-12)


def test_many_weightings_are_worked_on_in_parts(monkeypatch):
    rng = np.random.default_rng(2)
    parts = [scored(rng.uniform(size=20)) for _ in range(2)]
    counts = rng.multinomial(20, np.full(20, 0.05), size=50).T.astype(float)
    whole = transport(parts[0], parts[1:], counts, np.ones((1, 50)))
    monkeypatch.setattr("unlearn.metrics.transport.CHUNK", 7 * 40)
    for a, b in zip(whole, transport(parts[0], parts[1:], counts, np.ones((1, 50))), strict=True):
        assert a == pytest.approx(b, abs=1e-15)

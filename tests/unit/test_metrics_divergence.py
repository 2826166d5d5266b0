"""Jensen-Shannon distance over gold's bins: by hand, a naive twin, limits."""

import math

import numpy as np
import pytest

from unlearn.metrics.divergence import bin_counts, bin_edges, divergence
from unlearn.metrics.logs import TaskLog


def task(log_ratios):
    """Items whose log R are the given ones: a wrong answer of loss 50, and the paraphrase below or above it."""
    ids = tuple(map(str, range(len(log_ratios))))
    paraphrase = 50 - np.asarray(log_ratios, dtype=float)
    wrong = tuple(np.array([49.0, 51.0]) for _ in ids)
    return TaskLog(ids, True, ids, None, paraphrase, paraphrase, wrong, np.ones(len(ids)))


def naive(p, q):
    p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
    m = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    bits = [sum(a * math.log2(a / c) for a, c in zip(x, m, strict=True)) for x in (p, q)]
    return math.sqrt(sum(bits) / 2)


def test_edges_are_deciles_or_quintiles_of_gold():
    assert bin_edges(np.arange(101.0), 101) == pytest.approx(np.arange(10, 100, 10))
    assert bin_edges(np.arange(101.0), 99) == pytest.approx([20, 40, 60, 80])
    # Values that come often make an edge once, not bins without width.
    assert list(bin_edges(np.array([0.0] * 9 + [1.0]), 10)) == [0.0]


def test_bins_are_open_at_both_ends():
    edges = np.array([0.0, 1.0])
    assert list(bin_counts(np.array([-1e9, -0.1, 0.0, 0.5, 1.0, 1e9]), edges)) == [2, 2, 2]
    assert list(bin_counts(np.array([]), edges)) == [0, 0, 0]


def test_equal_models_are_at_0():
    gold = task(np.random.default_rng(0).normal(size=60))
    for golds in ({"a": gold}, {"a": gold, "b": gold, "c": gold}):
        assert divergence(gold, golds).model == pytest.approx(0, abs=1e-7)


def test_a_model_beyond_all_of_gold_by_hand():
    # Gold has 2 of 10 items in each of 5 bins, the model all 10 in the last: with half an item added everywhere,
    # p = (1, 1, 1, 1, 21) / 25 and q = 1/5 each.
    gold, model = task(np.arange(10.0)), task(np.full(10, 1000.0))
    found = divergence(model, {"gold": gold})
    p = [1 / 25] * 4 + [21 / 25]
    m = [(a + 1 / 5) / 2 for a in p]
    bits = 4 * (p[0] * math.log2(p[0] / m[0]) + 0.2 * math.log2(0.2 / m[0]))
    bits += p[4] * math.log2(p[4] / m[4]) + 0.2 * math.log2(0.2 / m[4])
    assert found.model == pytest.approx(math.sqrt(bits / 2))
    assert found.gold is None


def test_disjoint_models_approach_1():
    # A gold in two bins (one edge) and a model wholly in the other of them: 0.5 among 1000 is left of the overlap.
    gold, model = task([0.0] * 999 + [1.0]), task(np.full(1000, -5.0))
    assert 0.98 < divergence(model, {"gold": gold}).model < 1


def test_against_a_naive_twin_with_several_golds():
    rng = np.random.default_rng(1)
    golds = {name: rng.normal(size=120) for name in "abc"}
    model = rng.normal(0.7, size=120)
    edges = np.quantile(np.concatenate(list(golds.values())), np.arange(0.1, 0.95, 0.1))

    def counts(values):
        return [
            sum(1 for v in values if low <= v < high) for low, high in zip([-9e9, *edges], [*edges, 9e9], strict=True)
        ]

    def against(values, names):
        pool = [sum(column) / len(names) + 0.5 for column in zip(*(counts(golds[n]) for n in names), strict=True)]
        return naive([c + 0.5 for c in counts(values)], pool)

    tasks = {name: task(values) for name, values in golds.items()}
    found = divergence(task(model), tasks)
    assert found.model == pytest.approx(against(model, "abc"), abs=1e-9)
    between = [against(golds[name], [n for n in "abc" if n != name]) for name in "abc"]
    assert found.gold == pytest.approx(max(between), abs=1e-9)
    own = divergence(tasks["b"], tasks, own="b")
    assert own.model == pytest.approx(between[1], abs=1e-9)
    assert own.gold == found.gold


def test_the_bins_are_those_of_the_task_and_not_of_the_model():
    golds = {"a": task(np.arange(50.0))}
    near, far = (divergence(task(np.arange(50.0) + shift), golds).model for shift in (500, 5000))
    assert near == far

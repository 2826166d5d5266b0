"""Draws of people and seeds, and how often the interval covers the truth."""

import numpy as np
import pytest

from unlearn.metrics.bootstrap import Interval, draw_groups, draw_seeds, interval
from unlearn.metrics.transport import Scored, transport

PEOPLE, ROWS, TRIALS, DRAWS = 100, 3, 300, 300


def test_interval():
    values = np.array([0.5, *np.arange(101) / 100])
    assert interval(values) == Interval(0.5, pytest.approx(0.025), pytest.approx(0.975))
    assert interval(np.array([0.5])) == Interval(0.5, None, None)


def groups(prefix, number, rows=2):
    return [f"{prefix}{i}" for i in range(number) for _ in range(rows)]


def test_a_draw_takes_as_many_people_as_there_are():
    draws = draw_groups({"a": groups("x", 12), "b": groups("y", 20, rows=1)}, 500, seed=0)
    rows = {prefix: [row for group, row in draws.row.items() if group[0] == prefix] for prefix in "xy"}
    assert draws.counts.shape == (32, 501)
    assert (draws.counts[:, 0] == 1).all()
    for prefix, number in (("x", 12), ("y", 20)):
        drawn = draws.counts[rows[prefix], 1:]
        assert (drawn.sum(axis=0) == number).all()
        # Binomial(number, 1/number) has variance 1 - 1/number; 500 draws x number groups estimate it to about 3%.
        assert drawn.mean() == pytest.approx(1)
        assert drawn.var() == pytest.approx(1 - 1 / number, rel=0.1)


def test_draws_are_a_function_of_seed_and_people():
    alone = draw_groups({"a": groups("x", 12)}, 50, seed=3)
    beside = draw_groups({"z": groups("y", 15), "a": groups("x", 12, rows=4)[::-1]}, 50, seed=3)
    for group, row in alone.row.items():
        assert (alone.counts[row] == beside.counts[beside.row[group]]).all()
    assert (alone.counts != draw_groups({"a": groups("x", 12)}, 50, seed=4).counts).any()
    # As many other people are not drawn alike.
    assert (alone.counts != draw_groups({"a": groups("y", 12)}, 50, seed=3).counts).any()


def test_no_draw_leaves_a_task_empty():
    tasks = {"captions": groups("x", 200), "names": groups("x", 2)}
    draws = draw_groups(tasks, 300, seed=0)
    few = draws.counts[[draws.row["x0"], draws.row["x1"]]]
    assert few.sum(axis=0).min() == 1


def test_seeds_are_drawn_from_three_on():
    assert (draw_seeds(2, 40, seed=0) == 1).all()
    drawn = draw_seeds(3, 40, seed=0)
    assert (drawn.shape, set(drawn[:, 0]), set(drawn.sum(axis=0))) == ((3, 41), {1}, {3})
    assert len(np.unique(drawn, axis=1).T) > 5


def apart(rng):
    """Return scores of model and gold: 0.4 higher on average, by another step for each person. Truth 0.4."""
    gold = np.repeat(rng.uniform(0, 0.3, PEOPLE), ROWS) + rng.uniform(0, 0.05, PEOPLE * ROWS)
    return gold + np.repeat(rng.uniform(0.3, 0.5, PEOPLE), ROWS) + rng.uniform(-0.05, 0.05, PEOPLE * ROWS), gold


def same_mean(rng):
    """Return a model that scores 1/2 always and a gold uniform in [0, 1] by person. Truth E|U - 1/2| = 1/4."""
    return np.full(PEOPLE * ROWS, 0.5), np.repeat(rng.uniform(0, 1, PEOPLE), ROWS)


def coverage(simulate, truth, unit, trials):
    """Return the share of samples whose interval holds the truth when `unit` rows at a time are drawn."""
    names = [str(i // unit) for i in range(PEOPLE * ROWS)]
    hits = 0
    for trial in range(trials):
        draws = draw_groups({"task": names}, DRAWS, seed=trial)
        rows = np.array([draws.row[name] for name in names])
        model, gold = (Scored(values, rows) for values in simulate(np.random.default_rng(trial)))
        found = interval(transport(model, [gold], draws.counts, np.ones((1, 1 + DRAWS)))[0])
        hits += found.low <= truth <= found.high
    return hits / trials


@pytest.mark.parametrize(("simulate", "truth"), [(apart, 0.4), (same_mean, 0.25)])
def test_the_interval_covers_the_truth_in_95_of_100_samples_of_people(simulate, truth):
    error = (0.95 * 0.05 / TRIALS) ** 0.5
    assert coverage(simulate, truth, ROWS, TRIALS) == pytest.approx(0.95, abs=3 * error)
    # Drawn row by row, the intervals are too short by the square root of the rows a person: far fewer hold the truth.
    assert coverage(simulate, truth, 1, TRIALS // 3) < 0.85

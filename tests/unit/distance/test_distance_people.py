"""People over tasks, and their halves."""

from collections import Counter

import pytest

from unlearn.metrics.people import Half, families, half


def people(prefix, number, rows=3):
    return [f"{prefix}{i}" for i in range(number) for _ in range(rows)]


@pytest.fixture
def log(new_task, new_eval):
    def task(groups):
        return new_task([0.5] * len(groups), groups=groups)

    return new_eval(
        {
            "forget_captions": task(people("name", 21)),
            "forget_names": task(people("name", 21, rows=2)[::-1]),
            "retain_captions": task([*people("other", 40), "name3", "name4"]),
            "real_world": task(people("row", 30, rows=1)),
        }
    )


def groups_of(log):
    return {name: set(task.groups) for name, task in log.tasks.items()}


def test_families():
    tasks = {"a": ["p", "q"], "b": ["r"], "c": ["q", "s"], "d": ["s", "t"]}
    assert families(tasks) == [(["b"], ["r"]), (["a", "c", "d"], ["p", "q", "s", "t"])]
    # Two sets become one when a third task links them.
    assert families({"a": ["p"], "b": ["q"], "c": ["p", "q"]}) == [(["a", "b", "c"], ["p", "q"])]
    assert families({}) == []


@pytest.mark.parametrize("seed", range(5))
def test_halves_are_even_disjoint_and_whole(log, seed):
    first, second = (groups_of(half(log, which, seed)) for which in Half)
    for name, groups in groups_of(log).items():
        assert first[name] | second[name] == groups
        assert not first[name] & second[name]
        assert abs(len(first[name]) - len(second[name])) <= 2
    assert first["forget_captions"] == first["forget_names"]


def test_a_half_has_all_rows_of_its_people(log):
    kept = half(log, Half.report, 0)
    for name, task in kept.tasks.items():
        rows = Counter(log.tasks[name].groups)
        assert Counter(task.groups) == {group: rows[group] for group in set(task.groups)}
        assert len(task.loss) == len(task.items) == len(task.groups)


def test_halves_follow_seed_and_names_alone(log, new_random):
    assert groups_of(half(log, Half.selection, 1)) != groups_of(half(log, Half.selection, 2))
    a, b = (half(new_random(seed), Half.selection, 7) for seed in (1, 2))
    assert groups_of(a) == groups_of(b)
    fewer = new_random(1, tasks=("forget_names",))
    assert groups_of(half(fewer, Half.selection, 7))["forget_names"] == groups_of(a)["forget_names"]


def test_chance_decides_about_the_odd_one(log):
    sizes = {len(groups_of(half(log, Half.selection, seed))["forget_captions"]) for seed in range(20)}
    assert sizes == {10, 11}

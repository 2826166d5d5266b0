"""The plan of steps: a function of seed and epoch alone, the same global batches for every division."""

from collections import Counter

import pytest

from unlearn.data.plan import MicroBatch, Step, micro_batches, pass_steps

SIZES = {"forget": 21, "retain": 50}
VIEWS = {"forget": "forget", "retain": "retain"}


def epoch_steps(sizes, primary, batch, seed, epoch, views=VIEWS, samples=None):
    return pass_steps(sizes, primary, views, batch, seed, epoch, samples)


def epochs(sizes, count, seed=0, batch=8, primary="forget"):
    return [epoch_steps(sizes, primary, batch, seed, epoch) for epoch in range(count)]


def ids(steps, view):
    return [i for step in steps for i in step.ids[view]]


def test_every_forget_sample_once_an_epoch():
    for number, steps in enumerate(epochs(SIZES, 3)):
        assert sorted(ids(steps, "forget")) == list(range(21))
        assert [len(step.ids["forget"]) for step in steps] == [8, 8, 5]
        assert [len(step.ids["retain"]) for step in steps] == [8, 8, 5]
        assert {step.epoch for step in steps} == {number}


@pytest.mark.parametrize("retain", [50, 21, 7, 1])
def test_retain_is_drawn_without_replacement_across_epochs(retain):
    drawn = [i for steps in epochs({"forget": 21, "retain": retain}, 5) for i in ids(steps, "retain")]
    assert len(drawn) == 105
    for start in range(0, 105, retain):
        block = drawn[start : start + retain]
        assert len(set(block)) == len(block)
    counts = Counter(drawn)
    assert set(counts) == set(range(retain))
    assert max(counts.values()) - min(counts.values()) <= 1


def test_a_function_of_seed_and_epoch_alone():
    again = epochs(SIZES, 3)
    assert epochs(SIZES, 3) == again
    assert epoch_steps(SIZES, "forget", 8, 0, 2) == again[2]  # without the epochs before it
    assert epochs(SIZES, 3, seed=1) != again
    assert ids(again[0], "forget") != ids(again[1], "forget")
    # The global batch size cuts the same order at other places.
    assert ids(epoch_steps(SIZES, "forget", 3, 0, 2), "forget") == ids(again[2], "forget")
    assert ids(epoch_steps(SIZES, "forget", 3, 0, 2), "retain") == ids(again[2], "retain")


def test_the_order_is_spelled_out():
    """So that a change of the generator or of its seeding, which would change every result, is seen."""
    (step,) = epoch_steps({"forget": 6, "retain": 9}, "forget", 8, 0, 0)
    assert step == Step(0, {"forget": FORGET_ORDER, "retain": RETAIN_ORDER})


FORGET_ORDER = (0, 3, 5, 1, 2, 4)
RETAIN_ORDER = (8, 3, 2, 6, 4, 5)


@pytest.mark.parametrize(("world", "batch", "parts"), [(1, 8, 1), (1, 2, 4), (2, 4, 1), (2, 2, 2), (4, 1, 2)])
@pytest.mark.parametrize("forget", [21, 8, 1, 9])
def test_micro_batches_partition_each_step(world, batch, parts, forget):
    steps = epoch_steps({"forget": forget, "retain": 30}, "forget", 8, 0, 0)
    ranks = [micro_batches(steps, r, world, batch, parts) for r in range(world)]
    for plan in ranks:
        assert len(plan) == len(steps) * parts
        assert all(len(m.ids[view]) <= batch for m in plan for view in m.ids)
    for number, step in enumerate(steps):
        for view, expected in step.ids.items():
            found = [i for plan in ranks for m in plan[number * parts : (number + 1) * parts] for i in m.ids[view]]
            assert Counter(found) == Counter(expected)


def test_the_last_step_leaves_micro_batches_empty():
    steps = epoch_steps({"forget": 9, "retain": 9}, "forget", 8, 0, 4, {"forget": "forget"})
    last = micro_batches(steps, 1, 2, 2, 2)[2:]
    assert last == [MicroBatch(4, {"forget": ()}), MicroBatch(4, {"forget": ()})]


def test_only_the_views_that_are_needed():
    steps = epoch_steps(SIZES, "forget", 8, 0, 0, {"retain": "retain"})
    assert [step.ids for step in steps] == [
        {"retain": step.ids["retain"]} for step in epoch_steps(SIZES, "forget", 8, 0, 0)
    ]


def test_views_of_one_set_have_the_same_samples_in_the_same_places():
    steps = epoch_steps(SIZES, "forget", 8, 0, 1, {"idk": "forget", "forget": "forget", "retain": "retain"})
    assert all(step.ids["idk"] == step.ids["forget"] for step in steps)
    plain = epoch_steps(SIZES, "forget", 8, 0, 1)
    assert [step.ids["forget"] for step in steps] == [step.ids["forget"] for step in plain]


@pytest.mark.parametrize("samples", [21, 7, 120])
def test_a_pass_of_another_length_draws_without_replacement_over_epochs(samples):
    """A pass over `samples` retained ones goes on where the last one ended, and begins again after all 50."""
    drawn = [i for epoch in range(4) for i in ids(epoch_steps(SIZES, "retain", 8, 0, epoch, VIEWS, samples), "retain")]
    assert len(drawn) == 4 * samples
    for start in range(0, len(drawn), 50):
        block = drawn[start : start + 50]
        assert len(set(block)) == len(block)
    first = epoch_steps(SIZES, "retain", 8, 0, 0, VIEWS, samples)
    assert [len(step.ids["forget"]) for step in first] == [len(step.ids["retain"]) for step in first]

"""Distance to gold of whole evaluations: known answers, a naive twin, the null band, and what has no interval."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from unlearn.config.schema import Metrics, Modality
from unlearn.errors import UserError
from unlearn.metrics.bootstrap import Interval, draw_groups, draw_seeds
from unlearn.metrics.columns import distance_columns
from unlearn.metrics.distance import compare
from unlearn.metrics.people import Half, half
from unlearn.metrics.samples import Score, sample_scores


def values(distances):
    return {key: found.value for key, found in distances.sets.items()}


def test_sample_scores_by_hand(new_task, new_eval):
    task = new_task([0.5, 0.25], rouge=[1.0, 0.2], preference=[0.8, 0.5])
    infos = new_eval({"forget_captions": task, "forget_names": task}).manifest.tasks
    scores = sample_scores(task, infos["forget_captions"])
    assert scores[Score.probability] == pytest.approx([0.5, 0.25])
    assert scores[Score.rouge] == pytest.approx([1.0, 0.2])
    assert scores[Score.preference] == pytest.approx([0.8, 0.5])
    # Two wrong answers of exp(-2) each stand beside the true one.
    wrong = 2 * np.exp(-2)
    assert sample_scores(task, infos["forget_names"])[Score.probability] == pytest.approx(
        [0.5 / (0.5 + wrong), 0.25 / (0.25 + wrong)]
    )


def test_a_model_is_at_no_distance_from_itself(new_random):
    gold = new_random(1)
    found = compare({"same": gold}, {"gold": gold}, draws=50).models["same"]
    assert values(found) == pytest.approx({"forget": 0, "retain": 0, "real": 0, "max": 0}, abs=1e-15)
    assert all(abs(edge) < 1e-15 for row in found.sets.values() for edge in (row.low, row.high))


def test_a_shifted_copy_gives_the_shift(new_task, new_eval):
    rng = np.random.default_rng(0)
    scores = [rng.uniform(0.1, 0.6, 40) for _ in range(3)]
    groups = [str(i // 2) for i in range(40)]
    gold = new_eval({"forget_captions": new_task(*scores, groups)})
    model = new_eval({"forget_captions": new_task(scores[0] + 0.3, scores[1] - 0.06, scores[2], groups)})
    found = compare({"m": model}, {"gold": gold}, draws=20).models["m"]
    shift = {Score.probability: 0.3, Score.rouge: -0.06, Score.preference: 0.0}
    for score, amount in shift.items():
        assert found.scores["forget_captions", score].value == pytest.approx(abs(amount), abs=1e-12)
        assert found.shifts["forget_captions", score].value == pytest.approx(amount, abs=1e-12)
        assert found.shifts["forget_captions", score].high == pytest.approx(amount, abs=1e-12)
    assert values(found) == pytest.approx({"forget": (0.3 + 0.06 + 0) / 3})


def naive_compare(model, golds, draws, seed):
    """Return {set: [D of the sample, D of every draw]} by lists of scores spelled out person by person."""
    tasks = model.tasks
    counts = draw_groups({name: task.groups for name, task in tasks.items()}, draws, seed)
    seeds = draw_seeds(len(golds), draws, seed)
    found = {"forget": [], "retain": [], "real": [], "max": []}
    for i in range(1 + draws):
        distances = {"forget": [], "retain": [], "real": []}
        for name in tasks:
            info = model.manifest.tasks[name]
            mine = sample_scores(model.tasks[name], info)
            for score in Score:
                a, b = [], []
                for n, group in enumerate(tasks[name].groups):
                    a += [mine[score][n]] * int(counts.counts[counts.row[group], i])
                for g, gold in enumerate(golds):
                    theirs = sample_scores(gold.tasks[name], info)[score]
                    for n, group in enumerate(gold.tasks[name].groups):
                        b += [theirs[n]] * int(seeds[g, i] * counts.counts[counts.row[group], i])
                distances[info.role.value].append(wasserstein_distance(a, b))
        for key, of_set in distances.items():
            found[key].append(sum(of_set) / len(of_set))
        found["max"].append(max(found[key][-1] for key in distances))
    return found


def test_against_a_naive_twin(new_random):
    base, golds = new_random(0, shift=0.4), {f"g{seed}": new_random(seed) for seed in (1, 2, 3)}
    model = new_random(9, shift=0.1)
    draws, seed = 16, 5
    found = compare({"base": base, "m": model}, golds, base="base", draws=draws, seed=seed)
    naive = {n: naive_compare(log, list(golds.values()), draws, seed) for n, log in (("base", base), ("m", model))}
    for name, sets in naive.items():
        for key, numbers in sets.items():
            row = found.models[name].sets[key]
            low, high = np.quantile(numbers[1:], [0.025, 0.975])
            assert (row.value, row.low, row.high) == pytest.approx((numbers[0], low, high), abs=1e-12)
    ratios = [a / b for a, b in zip(naive["m"]["forget"], naive["base"]["forget"], strict=True)]
    remaining = found.models["m"].remaining
    assert (remaining.value, remaining.low, remaining.high) == pytest.approx(
        (ratios[0], *np.quantile(ratios[1:], [0.025, 0.975])), abs=1e-12
    )
    alone = naive_compare(golds["g2"], [golds["g1"], golds["g3"]], draws, seed)
    assert found.golds["g2"].sets["retain"].value == pytest.approx(alone["retain"][0], abs=1e-12)
    assert found.models["base"].remaining == Interval(1.0, 1.0, 1.0)


def test_the_null_band_needs_three_golds(new_random):
    golds = {f"g{seed}": new_random(seed) for seed in (1, 2, 3)}
    models = {"base": new_random(0, shift=0.4), "near": golds["g2"]}
    found = compare(models, golds, base="base", draws=20)
    for key in ("forget", "retain", "real", "max"):
        assert found.band[key] == max(values(row)[key] for row in found.golds.values())
    assert found.models["near"].within == dict.fromkeys(("forget", "retain", "real", "max"), True)
    assert not found.models["base"].within["forget"]
    assert not found.models["base"].within["max"]
    assert found.models["near"].remaining.value < 0.2
    del golds["g3"]
    two = compare(models, golds, base="base", draws=20)
    assert (two.band, two.models["near"].within, two.models["near"].remaining) == (None, None, None)
    assert values(two.golds["g1"]) == pytest.approx(values(two.golds["g2"]))
    assert compare(models, {"g": golds["g1"]}, base="base", draws=20).golds == {}


def test_nothing_remains_of_a_base_that_is_like_gold(new_random):
    golds = {f"g{seed}": new_random(seed) for seed in (1, 2, 3)}
    found = compare({"base": golds["g1"], "far": new_random(0, shift=0.4)}, golds, base="base", draws=20)
    assert found.models["base"].within["forget"]
    assert found.models["far"].remaining is None


def test_few_people_have_no_interval(new_random, new_task, new_eval):
    golds = {f"g{seed}": new_random(seed, people=9) for seed in (1, 2, 3)}
    found = compare({"m": new_random(4, people=9, shift=0.4)}, golds, base="m", draws=30).models["m"]
    every = [*found.sets.values(), *found.scores.values(), *found.shifts.values(), found.remaining]
    assert all((number.low, number.high) == (None, None) for number in every)
    # One task of few people costs its own set the interval, and the largest set's, and no other's.
    few = {"forget_names": new_task([0.1] * 9)}
    logs = [new_eval({**new_random(seed).tasks, **few}) for seed in (1, 2)]
    mixed = compare({"m": logs[0]}, {"g": logs[1]}, draws=30).models["m"]
    assert {key for key, number in mixed.sets.items() if number.low is None} == {"forget", "max"}
    assert mixed.scores["forget_captions", Score.rouge].low is not None


def test_people_that_are_named_differently_have_no_interval(new_random):
    model, gold = new_random(1), new_random(2)
    task = gold.tasks["retain_captions"]
    renamed = replace(gold, tasks={**gold.tasks, "retain_captions": replace(task, groups=task.items)})
    found = compare({"m": model}, {"g": renamed}, draws=30).models["m"]
    assert {key for key, number in found.sets.items() if number.low is None} == {"retain", "max"}
    assert values(found) == pytest.approx(values(compare({"m": model}, {"g": gold}, draws=0).models["m"]))


def test_the_order_of_items_does_not_matter(new_random):
    model, gold = new_random(1), new_random(2)
    task = gold.tasks["forget_names"]
    order = np.random.default_rng(0).permutation(len(task.items))
    mixed = replace(
        task,
        **{key: tuple(getattr(task, key)[i] for i in order) for key in ("items", "groups", "wrong_losses")},
        **{key: getattr(task, key)[order] for key in ("loss", "paraphrase_loss", "rouge")},
    )
    shuffled = replace(gold, tasks={**gold.tasks, "forget_names": mixed})
    a, b = (compare({"m": model}, {"g": g}, draws=30).models["m"].sets["forget"] for g in (gold, shuffled))
    assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), abs=1e-12)


def test_a_set_without_tasks_is_absent_and_there_is_no_largest(new_random):
    logs = [new_random(seed, tasks=("forget_names", "real_world")) for seed in (1, 2)]
    found = compare({"m": logs[0]}, {"g": logs[1]}, draws=0).models["m"]
    assert set(found.sets) == {"forget", "real"}


def test_without_draws_there_are_numbers_alone(new_random):
    logs = [new_random(seed) for seed in (1, 2)]
    few, none = (compare({"m": logs[0]}, {"g": logs[1]}, draws=d).models["m"] for d in (10, 0))
    assert values(few) == pytest.approx(values(none))
    assert none.sets["max"].low is None


def test_equal_seeds_give_equal_intervals_whatever_stands_beside(new_random):
    golds, model = {f"g{seed}": new_random(seed) for seed in (1, 2, 3)}, new_random(4)
    first = compare({"m": model}, golds, draws=30, seed=1)
    beside = compare({"x": new_random(5), "m": model}, golds, draws=30, seed=1)
    assert first.models["m"].sets == beside.models["m"].sets
    assert first.models["m"].sets != compare({"m": model}, golds, draws=30, seed=2).models["m"].sets


def test_halves_can_be_compared_but_not_mixed(new_random):
    model, gold = new_random(1, people=24), new_random(2, people=24)
    halves = [{n: half(log, which, 0) for n, log in (("m", model), ("g", gold))} for which in Half]
    numbers = [compare({"m": h["m"]}, {"g": h["g"]}, draws=20).models["m"] for h in halves]
    assert all(found.sets["forget"].low is not None for found in numbers)
    assert values(numbers[0]) != values(numbers[1])
    with pytest.raises(UserError, match="has 36 items that the other lacks"):
        compare({"m": halves[0]["m"]}, {"g": halves[1]["g"]})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("forget_split", "forget05"),
        ("retain_split", "retain95"),
        ("forget_modality", "text"),
        ("metrics_version", 2),
        ("metrics", Metrics.released),
    ],
)
def test_any_two_logs_that_do_not_fit_are_refused(new_random, new_eval, key, value):
    models = {f"m{seed}": new_random(seed) for seed in (1, 2)}
    golds = {"g": new_random(3), "other": new_eval(new_random(4).tasks, "other", **{key: value})}
    with pytest.raises(
        UserError, match=f"1 and other cannot be compared: {key} is .* and {getattr(value, 'value', value)}"
    ):
        compare(models, golds, draws=0)
    # A log without a manifest says nothing, but the two beside it do not fit.
    with pytest.raises(UserError, match=f"1 and other cannot be compared: {key}"):
        compare({"m": models["m1"]}, {"g": replace(golds["g"], manifest=None), "other": golds["other"]}, draws=0)


@pytest.mark.parametrize(
    ("key", "value", "says"), [("version", 2, "1 and 2"), ("modality", Modality.text, "image and text")]
)
def test_other_tasks_of_the_same_name_are_refused(new_random, key, value, says):
    log = new_random(2)
    infos = {**log.manifest.tasks, "real_world": replace(log.manifest.tasks["real_world"], **{key: value})}
    newer = replace(log, manifest=replace(log.manifest, tasks=infos))
    with pytest.raises(UserError, match=f"{key} of task real_world is {says}"):
        compare({"m": new_random(1)}, {"g": newer}, draws=0)


def test_incomplete_logs_are_refused_or_compared_on_what_all_have(new_random):
    def incomplete(log, gone):
        infos = {n: replace(info, expected=36, scored=36) for n, info in log.manifest.tasks.items()}
        infos["real_world"] = replace(infos["real_world"], scored=36 - len(gone))
        tasks = {**log.tasks, "real_world": log.tasks["real_world"].only(set(map(str, range(36))) - gone)}
        return replace(log, tasks=tasks, manifest=replace(log.manifest, tasks=infos))

    logs = {seed: incomplete(new_random(seed), gone) for seed, gone in ((1, {"3"}), (2, {"0", "5"}), (3, set()))}
    models, golds = {"m": logs[1], "n": logs[2]}, {"g": logs[3]}
    with pytest.raises(UserError, match=r"incomplete \(real_world 35/36 items\)"):
        compare(models, golds, draws=0)
    found = compare(models, golds, draws=0, allow_incomplete=True)
    common = {str(i) for i in range(36)} - {"3", "0", "5"}
    cut = [replace(log, tasks={"real_world": log.tasks["real_world"].only(common)}) for log in (logs[1], logs[3])]
    alone = compare({"m": cut[0]}, {"g": cut[1]}, draws=0, allow_incomplete=True)
    assert found.models["m"].sets["real"] == alone.models["m"].sets["real"]


def test_columns_of_what_remains(new_random):
    golds = {f"g{seed}": new_random(seed) for seed in (1, 2, 3)}
    found = compare({"base": new_random(0, shift=0.4), "near": golds["g2"]}, golds, base="base", draws=20)
    infos = golds["g1"].manifest.tasks
    base, near = (distance_columns(found.models[name], infos, found.band) for name in ("base", "near"))
    assert (base["Remaining"], base["Remaining Low"], base["Remaining High"]) == (1, 1, 1)
    assert "Forget" not in base["Within Gold's Spread"]
    assert near["Within Gold's Spread"] == "Forget, Retain, Real, Max"
    assert near["D Forget"] <= near["D Forget Gold"] == base["D Forget Gold"] < base["D Forget"]
    assert base["Shift Forget"] > 0.3
    gold = distance_columns(found.golds["g1"], infos, None)
    assert not {"Within Gold's Spread", "Remaining", "D Forget Gold"} & set(gold)

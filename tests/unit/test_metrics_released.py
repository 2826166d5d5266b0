"""The published code's quirks on a log of two items a task, every number worked out by hand.

Losses are multiples of log 2, so that probabilities and ratios are powers of 2.
"""

import math
from pathlib import Path

import numpy as np
import pytest
from hand_made import provenance

from unlearn.config.schema import Metrics
from unlearn.errors import UserError
from unlearn.metrics import released, sets
from unlearn.metrics.columns import released_columns, result_columns
from unlearn.metrics.comparison import task_infos
from unlearn.metrics.logs import EvalLog, TaskLog
from unlearn.metrics.manifest import FOREIGN_TASKS, Manifest, Role
from unlearn.metrics.provenance import read_provenance

LOG2 = math.log(2)
FLOOR = 1 - math.sqrt(LOG2)


def task(loss, paraphrase, wrong, rouge=(1.0, 0.5), blind=(0.25, 0.25), prefix=""):
    """Return the log of items with these losses in units of log 2; two are enough for scores, three for no symmetry."""
    ids = tuple(f"{prefix}{i}" for i in range(len(loss)))
    return TaskLog(
        items=ids,
        by_uid=True,
        groups=ids,
        truths=None,
        loss=LOG2 * np.array(loss, dtype=float),
        paraphrase_loss=LOG2 * np.array(paraphrase, dtype=float),
        wrong_losses=tuple(LOG2 * np.array(w, dtype=float) for w in wrong),
        rouge=np.resize(rouge, len(loss)),
        blind_rouge=None if blind is None else np.resize(blind, len(loss)),
    )


def log(**tasks):
    infos = {name: FOREIGN_TASKS[name] for name in tasks}
    made = read_provenance(provenance(), "m")
    manifest = Manifest("forget10", "retain90", "both", 1, Metrics.released, infos, 0, {}, made)
    return EvalLog(Path("log"), tasks, manifest)


KNOWN = task([0, 1], [1, 2], [[4, 4], [0]])
"""Item 0 knows (wrong answers lose 4), item 1 does not (its one wrong answer loses 0). Mean of all three: 8/3."""


def test_the_wrong_losses_become_one_number_for_the_whole_set():
    assert released.log_truth_ratio(KNOWN) / LOG2 == pytest.approx([8 / 3 - 1, 8 / 3 - 2])
    scores = released.task_scores(KNOWN, FOREIGN_TASKS["forget_captions"])
    assert scores.closeness == pytest.approx((2 ** (-5 / 3) + 2 ** (-2 / 3)) / 2)
    assert scores.knowledge == pytest.approx(1 - (2 ** (-5 / 3) + 2 ** (-2 / 3)) / 2)
    # By its own wrong answers item 0 has R = 2^3, item 1 R = 2^-2.
    correct = sets.task_scores(KNOWN, FOREIGN_TASKS["forget_captions"])
    assert correct.closeness == pytest.approx((1 / 8 + 1 / 4) / 2)
    assert correct.knowledge == pytest.approx((7 / 8 + 0) / 2)


def test_rouge_is_that_of_blind_answers():
    assert released.task_scores(KNOWN, FOREIGN_TASKS["forget_captions"]).rouge == 0.25
    assert sets.task_scores(KNOWN, FOREIGN_TASKS["forget_captions"]).rouge == 0.75


def test_a_part_of_a_log_keeps_its_blind_answers():
    whole = task([0, 1, 2], [1, 2, 3], [[4], [0], [1]], blind=(0.1, 0.2, 0.3))
    assert list(whole.only({"2", "0"}).blind_rouge) == [0.1, 0.3]
    assert list(whole.ordered().blind_rouge) == [0.1, 0.2, 0.3]


def test_the_set_means_leave_rouge_out_and_rise_with_forgetting():
    row = released_columns(log(forget_captions=KNOWN), log(forget_captions=KNOWN))
    probability, closeness = (1 + 1 / 2) / 2, (2 ** (-5 / 3) + 2 ** (-2 / 3)) / 2
    assert row["Forget"] == pytest.approx(2 / (1 / probability + 1 / closeness))
    kept = released_columns(log(retain_captions=KNOWN), log(retain_captions=KNOWN))
    assert kept["Retain"] == pytest.approx(2 / (1 / probability + 1 / (1 - closeness)))
    # R = 1 everywhere, no wrong answer told from the true one, is the best that "Forget" knows: higher means forgotten
    # in one of its two parts, remembered in the other.
    unsure = task([0, 1], [2, 2], [[2, 2], [2]])
    assert released_columns(log(forget_captions=unsure), log(forget_captions=unsure))["Forget"] > row["Forget"]
    correct = [result_columns(log(forget_captions=t), log(forget_captions=t))["Forget"] for t in (KNOWN, unsure)]
    assert correct[1] == 0 < correct[0]


def test_the_headline_can_prefer_a_model_that_memorised_more():
    """Both tell true from wrong equally badly; the second gives the true answers twice the probability."""
    less, more = task([2, 2], [3, 3], [[3], [3]]), task([1, 1], [3, 3], [[3], [3]])
    rows = [released_columns(log(forget_captions=t), log(forget_captions=t)) for t in (less, more)]
    assert [row["Truth Ratio Forget Captions"] for row in rows] == [1, 1]
    assert rows[1]["Forget"] > rows[0]["Forget"]


def test_utility_takes_whatever_is_not_to_be_forgotten():
    other = task([1, 1], [1, 1], [[3], [3]])
    tasks = {"retain_qa": KNOWN, "real_world": other, "forget_captions": KNOWN}
    row = released_columns(log(**tasks), log(**tasks))
    known = [0.25, 0.75, 1 - (2 ** (-5 / 3) + 2 ** (-2 / 3)) / 2]
    # real_world is multiple choice: 1/2 of 1/2 + 1/8; R = 4.
    world = [0.25, 0.5 / (0.5 + 0.125), 0.75]
    assert row["Model Utility"] == pytest.approx(6 / sum(1 / number for number in [*known, *world]))
    assert result_columns(log(**tasks), log(**tasks))["Model Utility"] is None
    assert released_columns(log(forget_captions=KNOWN), log(forget_captions=KNOWN))["Model Utility"] is None


def quality(model, gold):
    """1 - sqrt(JSD) in nats of two vectors of positive numbers, by its definition."""
    p, q = [x / sum(model) for x in model], [x / sum(gold) for x in gold]
    m = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    nats = sum(a * math.log(a / c) for x in (p, q) for a, c in zip(x, m, strict=True))
    return 1 - math.sqrt(nats / 2)


def test_forget_quality_takes_items_for_outcomes():
    # Paraphrases of loss 1 and 2: R = s (1/2, 1/4), so p = (2/3, 1/3) for any s; gold's 2 and 1 give q = (1/3, 2/3).
    gold = task([0, 1], [2, 1], [[4, 4], [0]])
    nats = 2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(2 / 3)
    assert released.forget_quality(KNOWN, gold) == pytest.approx(1 - math.sqrt(nats))
    # Both distributions of R are the same: {s/2, s/4}. The Kolmogorov-Smirnov test sees no difference.
    both = [task([0, 1], t.paraphrase_loss / LOG2, [[3], [3]]) for t in (KNOWN, gold)]
    logs = [log(forget_captions=t) for t in both]
    assert result_columns(*logs)["Forget Quality"] == 1.0
    assert released_columns(*logs)["Forget Quality"] < 0.8


def test_forget_quality_ignores_the_wrong_answers():
    gold = task([0, 1, 1], [2, 1, 5], [[4, 4], [0], [2]])
    first = task([0, 1, 1], [1, 2, 1], [[4, 4], [0], [2]])
    rewritten = task([0, 1, 1], [1, 2, 1], [[0, 9, 9], [7], [3]])
    assert released.forget_quality(rewritten, gold) == pytest.approx(released.forget_quality(first, gold))
    naive = quality(*(np.exp(released.log_truth_ratio(t)) for t in (rewritten, gold)))
    assert released.forget_quality(rewritten, gold) == pytest.approx(naive)


def test_forget_quality_of_equals_of_noise_and_at_its_floor():
    rng = np.random.default_rng(0)
    wrong = [[1.0]] * 300
    assert released.forget_quality(KNOWN, KNOWN) == pytest.approx(1)
    for spread in (0.25, 0.5):
        noise = [task([0] * 300, rng.normal(3, spread, 300) / LOG2, wrong, np.ones(300), None) for _ in range(2)]
        assert 0.7 < released.forget_quality(*noise) < 0.9
    # All weight on one item each, and not the same.
    apart = [task([0, 0], loss, [[1], [1]]) for loss in ([0, 2000], [2000, 0])]
    assert released.forget_quality(*apart) == pytest.approx(FLOOR)
    assert pytest.approx(0.167, abs=5e-4) == FLOOR


def test_items_are_paired_whatever_their_order():
    gold = task([0, 1], [2, 1], [[4, 4], [0]])
    swapped = task([1, 0], [1, 2], [[0], [4, 4]])
    swapped = EvalLog(Path("s"), {"forget_captions": TaskLog(("1", "0"), *list(vars(swapped).values())[1:])}, None)
    rows = [released_columns(log(forget_captions=KNOWN), g) for g in (log(forget_captions=gold), swapped)]
    assert rows[0]["Forget Quality"] == pytest.approx(rows[1]["Forget Quality"])
    renamed = log(forget_captions=task([0, 1], [2, 1], [[4, 4], [0]], prefix="uid-"))
    with pytest.raises(UserError, match=r"names the items of task forget_captions by uid.*cannot be paired"):
        released_columns(log(forget_captions=KNOWN), renamed)


def test_without_blind_answers_of_pictures_there_is_no_published_rouge():
    seen = task([0, 1], [1, 2], [[4, 4], [0]], blind=None)
    logs = log(forget_captions=seen, retain_qa=seen)
    with pytest.raises(
        UserError, match=r"no answers without the picture of forget_captions, which metrics=released needs"
    ):
        released_columns(logs, logs)
    # In words alone every answer is blind; TOFU's own logs are of this kind.
    words = log(retain_qa=seen)
    assert released_columns(words, words)["ROUGE Retain QA"] == 0.75
    tofu = EvalLog(Path("t"), {"eval_log_forget.json": seen}, None)
    assert released_columns(tofu, tofu)["ROUGE Forget"] == 0.75


def test_roles_follow_the_manifest():
    infos = task_infos(log(forget_captions=KNOWN))
    assert released.set_score([released.task_scores(KNOWN, infos["forget_captions"])], Role.forget) != (
        released.set_score([released.task_scores(KNOWN, infos["forget_captions"])], Role.retain)
    )
    assert released.set_score([], Role.real) is None

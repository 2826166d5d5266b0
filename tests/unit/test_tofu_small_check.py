"""The check of experiment `tofu_small` on hand-made logs: all promises kept, then each broken on its own."""

from pathlib import Path

import numpy as np
import pytest
import tofu_small_check

from unlearn.metrics.logs import EvalLog, TaskLog

AUTHORS, ROWS = 10, 3
GOLDS = ["gold", "gold_seed1", "gold_seed2"]


def task(name, probability, rouge):
    """Ten authors with three rows each; `rouge` is one figure, or one an author.

    Every other author is a tenth more likely, so that no interval is a point.
    """
    authors = np.arange(AUTHORS).repeat(ROWS)
    items = tuple(f"{name} {i}" for i in range(AUTHORS * ROWS))
    values = np.full(len(items), probability) * np.where(authors % 2, 1.1, 1.0)
    return TaskLog(
        items=items,
        by_uid=True,
        groups=tuple(f"{name} of {author}" for author in authors),
        truths=None,
        loss=-np.log(values),
        paraphrase_loss=np.ones(len(items)),
        wrong_losses=tuple(np.ones(2) for _ in items),
        rouge=np.broadcast_to(rouge, AUTHORS)[authors],
    )


def log(probability, rouge, kept=0.8):
    tasks = {"forget_qa": task("forget_qa", probability, rouge), "retain_qa": task("retain_qa", kept, 0.9)}
    return EvalLog(Path("log"), tasks, None)


def good():
    """Base is 0.7 (probability) and 0.5 (ROUGE) from the golds; the third score, which is no promise's, is alike."""
    golds = {name: log(0.1 + shift, 0.4 + shift) for name, shift in zip(GOLDS, (0.0, 0.01, 0.02), strict=True)}
    return {"base": log(0.8, 0.9), **golds}


def broken(**changed):
    return {check.what for check in tofu_small_check.checks(good() | changed, GOLDS) if not check.passed()}


def test_a_good_experiment_keeps_every_promise():
    found = tofu_small_check.checks(good(), GOLDS)
    assert [check.what for check in found if not check.passed()] == []
    assert len(found) == 4 + 2 * 3 + 3
    pair = next(check for check in found if check.what.startswith("D forget of gold and gold_seed2"))
    # Both shift by 0.02, the probability of half of the authors by 0.022; three scores.
    assert pair.value == pytest.approx((0.021 + 0.02) / 3)
    # Probability 0.69 of half of the authors and 0.759 of the others, ROUGE 0.49.
    assert pair.bound == pytest.approx((0.7245 + 0.49) / 3 / 5)


def test_a_base_like_gold_in_one_score_is_not_apart_in_that_score():
    assert broken(base=log(0.11, 0.9)) == {apart("probability", gold) for gold in GOLDS}
    assert broken(base=log(0.8, 0.41)) == {apart("rouge", gold) for gold in GOLDS}


def apart(score, gold):
    return f"base: lower end of d {score}, forget_qa; {gold}'s upper end"


def test_a_base_unlike_gold_about_one_author_alone_may_be_chance():
    rouge = np.array([0.9, *[0.41] * 9])
    assert broken(base=log(0.8, rouge)) == {apart("rouge", gold) for gold in GOLDS}


def test_a_gold_unlike_the_others_is_told():
    assert broken(gold_seed2=log(0.4, 0.6)) >= {
        "D forget of gold and gold_seed2, a fifth of base's",
        "D forget of gold_seed1 and gold_seed2, a fifth of base's",
    }


def test_golds_that_learned_nothing_are_told():
    assert broken(gold=log(0.1, 0.4, kept=0.3)) == {"gold: probability, retain_qa"}


def test_too_few_authors_for_an_interval_keep_no_promise(monkeypatch):
    monkeypatch.setitem(globals(), "AUTHORS", 9)
    assert broken() == {apart(score, gold) for score in ("probability", "rouge") for gold in GOLDS}


def test_an_experiment_that_did_not_end_is_an_error(tmp_path, capsys):
    assert tofu_small_check.main([f"root={tmp_path}"]) == 2
    assert str(tmp_path) in capsys.readouterr().err

"""Views with other answers: refusals and answers of other samples, from (seed, epoch, uid, draw) alone."""

import pytest

from unlearn.data.answers import Answers
from unlearn.data.refusals import refusal_samples
from unlearn.data.samples import Sample
from unlearn.errors import UserError

ASKED = [Sample(f"u{i}", f"Question {i}?", f"Answer {i}.", b"pixels" if i % 2 else None, f"g{i}") for i in range(50)]
REFUSALS = refusal_samples(None)
IDK = Answers("forget", "refusals")


def drawn(answers, pool, seed=0, epoch=0):
    return [answers.apply(sample, pool, seed, epoch) for sample in ASKED]


def test_only_the_answer_is_another():
    for before, after in zip(ASKED, drawn(IDK, REFUSALS), strict=True):
        assert (after.uid, after.question, after.image, after.group) == (
            before.uid, before.question, before.image, before.group,
        )  # fmt: skip
        assert after.answer in {refusal.answer for refusal in REFUSALS}
        assert after.answer == after.answer.strip()


def test_a_function_of_seed_epoch_uid_and_draw_alone():
    first = [sample.answer for sample in drawn(IDK, REFUSALS)]
    assert [IDK.apply(sample, REFUSALS, 0, 0).answer for sample in reversed(ASKED)] == first[::-1]
    assert len(set(first)) > 20
    for other in (
        drawn(IDK, REFUSALS, 1),
        drawn(IDK, REFUSALS, 0, 1),
        drawn(Answers("forget", "refusals", 1), REFUSALS),
    ):
        assert sum(a.answer != b for a, b in zip(other, first, strict=True)) > 35


def test_an_own_answer_is_never_drawn():
    """All pictures of a person have one name: neither the sample itself nor its like may be drawn."""
    pool = [Sample(f"n{i}", "Who?", name, None, name) for i, name in enumerate(["Ada"] * 9 + ["Bo"])]
    other = Answers("forget", "forget")
    assert {other.apply(pool[0], pool, 0, epoch).answer for epoch in range(30)} == {"Bo"}
    assert {other.apply(pool[9], pool, 0, epoch).answer for epoch in range(30)} == {"Ada"}
    with pytest.raises(UserError, match="The set forget has no answer but that of n0"):
        other.apply(pool[0], pool[:9], 0, 0)


def test_a_written_answer_is_one_of_those_to_the_very_question():
    pool = [Sample(s.uid, s.question, f"{s.uid} {k}", s.image, s.group) for s in ASKED for k in range(5)]
    own = Answers("forget", "written", own=True)
    epochs = [[own.apply(sample, pool, 0, epoch).answer for sample in ASKED] for epoch in range(30)]
    for number, sample in enumerate(ASKED):
        assert {answers[number] for answers in epochs} == {f"{sample.uid} {k}" for k in range(5)}
    assert [own.apply(sample, pool, 0, 3).answer for sample in reversed(ASKED)] == epochs[3][::-1]
    assert sum(own.apply(s, pool, 1, 3).answer != a for s, a in zip(ASKED, epochs[3], strict=True)) > 25


def test_a_written_answer_may_be_the_true_one():
    """There may be no other: the start model knows its answers."""
    own = Answers("forget", "written", own=True)
    assert own.apply(ASKED[0], ASKED, 0, 0) == ASKED[0]

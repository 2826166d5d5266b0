"""Per-sample scores: a number worked out by hand, a naive twin in plain Python, a limit."""

import math
import random

import numpy as np
import pytest

from unlearn.metrics import scores
from unlearn.metrics.rouge import rouge_recall

LOG2 = math.log(2)


def some_losses(seed, items=40):
    """Return losses, paraphrase losses and ragged lists of wrong losses."""
    rng = random.Random(seed)
    wrong = [[rng.uniform(0, 6) for _ in range(rng.randint(1, 7))] for _ in range(items)]
    return [rng.uniform(0, 6) for _ in range(items)], [rng.uniform(0, 6) for _ in range(items)], wrong


def test_probability():
    assert scores.probability([0.0, LOG2, 3 * LOG2]) == pytest.approx([1, 0.5, 0.125])
    losses, _, _ = some_losses(0)
    assert scores.probability(losses) == pytest.approx([math.exp(-loss) for loss in losses], rel=1e-14)
    assert scores.probability([1e4]) == pytest.approx([0.0])


def test_choice_probability():
    # p = 1/2 against 1/4 and 1/4; p = 1/2 against 1/8.
    hand = scores.choice_probability([LOG2, LOG2], [[2 * LOG2, 2 * LOG2], [3 * LOG2]])
    assert hand == pytest.approx([0.5, 0.8])
    losses, _, wrong = some_losses(1)
    naive = []
    for loss, others in zip(losses, wrong, strict=True):
        total = math.exp(-loss)
        for other in others:
            total += math.exp(-other)
        naive.append(math.exp(-loss) / total)
    assert scores.choice_probability(losses, wrong) == pytest.approx(naive, rel=1e-12)


def test_choice_probability_at_its_limits():
    assert scores.choice_probability([3.0], [[3.0] * 5]) == pytest.approx([1 / 6])
    # Every exp(-loss) is 0 in a double, and still the comparison is defined.
    extreme = scores.choice_probability([2000.0, 2000.0, 0.0], [[2000.0], [10.0], [2000.0]])
    assert extreme == pytest.approx([0.5, 0.0, 1.0])


def test_log_truth_ratio():
    # Wrong answers lose 1 and 3 nats a token, 2 on average; the paraphrase 0.5.
    assert scores.log_truth_ratio([0.5, 4.0], [[1.0, 3.0], [1.0]]) == pytest.approx([1.5, -3.0])
    _, paraphrase, wrong = some_losses(2)
    naive = [sum(w) / len(w) - p for w, p in zip(wrong, paraphrase, strict=True)]
    assert scores.log_truth_ratio(paraphrase, wrong) == pytest.approx(naive, rel=1e-12)
    assert scores.log_truth_ratio([2.5], [[2.5, 2.5, 2.5]]) == pytest.approx([0.0])
    with pytest.raises(ValueError, match="2"):
        scores.log_truth_ratio([1.0], [[1.0], [2.0]])


def test_truth_ratio_and_its_inverse():
    assert scores.truth_ratio([LOG2, 0.0, -LOG2]) == pytest.approx([2, 1, 0.5])
    _, paraphrase, wrong = some_losses(3)
    log_ratio = scores.log_truth_ratio(paraphrase, wrong)
    naive = [math.exp(-p) / math.exp(-sum(w) / len(w)) for w, p in zip(wrong, paraphrase, strict=True)]
    assert scores.truth_ratio(log_ratio) == pytest.approx(naive, rel=1e-12)
    assert scores.truth_ratio(-log_ratio) == pytest.approx([1 / r for r in naive], rel=1e-12)
    assert np.isfinite(scores.truth_ratio([1e5, -1e5])).all()


def test_closeness():
    assert scores.closeness([LOG2, -LOG2, 0.0]) == pytest.approx([0.5, 0.5, 1.0])
    _, paraphrase, wrong = some_losses(4)
    log_ratio = scores.log_truth_ratio(paraphrase, wrong)
    naive = [min(math.exp(x), 1 / math.exp(x)) for x in log_ratio]
    assert scores.closeness(log_ratio) == pytest.approx(naive, rel=1e-12)
    assert scores.closeness([1e5, -1e5]) == pytest.approx([0.0, 0.0])


def test_knowledge():
    # R = 4 leaves 3/4; R at or below 1 leaves nothing.
    assert scores.knowledge([2 * LOG2, 0.0, -LOG2]) == pytest.approx([0.75, 0.0, 0.0])
    _, paraphrase, wrong = some_losses(5)
    log_ratio = scores.log_truth_ratio(paraphrase, wrong)
    naive = [max(0.0, 1 - 1 / math.exp(x)) for x in log_ratio]
    assert scores.knowledge(log_ratio) == pytest.approx(naive, rel=1e-12, abs=1e-15)
    assert list(scores.knowledge([1e5, -1e5])) == [1.0, 0.0]


def test_preference():
    # R = 4 and R = 1/4: four to one for the true answer, and against it.
    assert scores.preference([2 * LOG2, 0.0, -2 * LOG2]) == pytest.approx([0.8, 0.5, 0.2])
    _, paraphrase, wrong = some_losses(6)
    log_ratio = scores.log_truth_ratio(paraphrase, wrong)
    naive = [math.exp(x) / (1 + math.exp(x)) for x in log_ratio]
    assert scores.preference(log_ratio) == pytest.approx(naive, rel=1e-12)
    assert list(scores.preference([1e5, -1e5])) == [1.0, 0.0]


def words(text):
    from nltk.stem.porter import PorterStemmer

    letters = "".join(c if c.isascii() and c.isalnum() else " " for c in text.lower())
    return [PorterStemmer().stem(word) if len(word) > 3 else word for word in letters.split()]


def naive_rouge_l_recall(truth, generated):
    """Return the longest common subsequence over the truth's words by plain recursion over both texts."""
    a, b = words(truth), words(generated)

    def common(i, j):
        if i == len(a) or j == len(b):
            return 0
        return common(i + 1, j + 1) + 1 if a[i] == b[j] else max(common(i + 1, j), common(i, j + 1))

    return common(0, 0) / len(a) if a else 0.0


def test_rouge_recall_by_hand():
    # Truth of 4 words; "a red" and then "hat" come in this order, "wears" (stem wear) only out of order.
    score = rouge_recall("wears a red hat", "A red hat is what she was wearing")
    assert score == pytest.approx({"rougeL_recall": 3 / 4, "rouge1_recall": 1.0})


@pytest.mark.parametrize(
    ("truth", "generated"),
    [
        ("Marta Lind was born in Oslo.", "Marta Lind lives in Bergen"),
        ("She paints boats and old harbours", "He painted an old boat"),
        ("a b c d", "d c b a"),
        ("one two", "one one two two three four five"),
    ],
)
def test_rouge_recall_against_a_naive_twin(truth, generated):
    assert rouge_recall(truth, generated)["rougeL_recall"] == pytest.approx(naive_rouge_l_recall(truth, generated))


def test_rouge_recall_at_its_limits():
    assert rouge_recall("Same text", "same  TEXT!")["rougeL_recall"] == 1.0
    assert rouge_recall("Some words", "")["rougeL_recall"] == 0.0
    assert rouge_recall("!?", "Some words")["rougeL_recall"] == 0.0
    # Recall does not punish what comes besides the truth.
    assert rouge_recall("red hat", "a red woollen hat with a feather")["rougeL_recall"] == 1.0

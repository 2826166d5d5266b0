"""Generation entropy and repetition: by hand, against a naive twin, at their limits; their way into the table."""

import math
import random
from pathlib import Path

import numpy as np
import pytest

from unlearn.metrics.columns import result_columns
from unlearn.metrics.fluency import fluency, generation_entropy, repetition
from unlearn.metrics.logs import EvalLog, TaskLog, aggregated_from_records
from unlearn.metrics.manifest import FOREIGN_TASKS


def naive_entropy(words, n):
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    shares = [sum(other == gram for other in grams) / len(grams) for gram in set(grams)]
    return -sum(share * math.log(share) / math.log(2) for share in shares)


def test_by_hand():
    # Bigrams ab ba ab ba: two halves, 1 bit. Trigrams aba bab aba: 2/3 and 1/3.
    third = 2 / 3 * math.log2(3 / 2) + 1 / 3 * math.log2(3)
    assert third == pytest.approx(0.918296, abs=1e-6)
    assert generation_entropy("a b a b a") == pytest.approx(1 / 3 + 2 / 3 * third) == pytest.approx(0.945531, abs=1e-6)
    # 4-grams aaaa aaaa aaaa: one of three is new.
    assert fluency("a a a a a a") == {"generation_entropy": 0.0, "repetition": pytest.approx(2 / 3)}
    assert repetition("a b c d a b c d") == pytest.approx(1 - 4 / 5)


@pytest.mark.parametrize("seed", range(5))
def test_against_a_naive_twin(seed):
    rng = random.Random(seed)
    words = [rng.choice("abcd") for _ in range(rng.randint(5, 40))]
    weighted = [2 / 3 * naive_entropy(words, 2), 4 / 3 * naive_entropy(words, 3)]
    assert generation_entropy(" ".join(words)) == pytest.approx(sum(weighted) / 2)
    fours = ["".join(words[i : i + 4]) for i in range(len(words) - 3)]
    assert repetition(" ".join(words)) == pytest.approx((len(fours) - len(set(fours))) / len(fours))


def test_a_text_without_repetition_has_the_entropy_of_its_length():
    for length in (3, 10, 100):
        text = " ".join(f"w{i}" for i in range(length))
        assert generation_entropy(text) == pytest.approx((math.log2(length - 1) + 2 * math.log2(length - 2)) / 3)
        assert repetition(text) == 0.0


@pytest.mark.parametrize("text", ["", "   ", "\n", "Ann", "Ann Lee"])
def test_a_text_too_short_for_ngrams_has_no_entropy_and_repeats_nothing(text):
    assert fluency(text) == {"generation_entropy": 0.0, "repetition": 0.0}


def test_going_round_in_circles_repeats_all_but_the_circle():
    assert repetition("no " * 403) == pytest.approx(1 - 1 / 400)
    assert generation_entropy("no " * 403) == 0.0


def test_words_and_signs_count_whatever_blanks_stand_between_them():
    assert fluency("a,b ,\n a , b,") == fluency("a , b , a , b ,")
    # Case tells words apart.
    assert generation_entropy("A a A a") > generation_entropy("a a a a") == 0.0


def further_log(numbers):
    """Return a log of tasks with these generation entropies, each with twice the repetition."""
    tasks = {}
    for name, values in numbers.items():
        ids = tuple(map(str, range(len(values))))
        ones, wrong = np.ones(len(ids)), tuple(np.ones(1) for _ in ids)
        further = {"generation_entropy": np.array(values), "repetition": 2 * np.array(values)}
        tasks[name] = TaskLog(ids, False, ids, None, ones, ones, wrong, ones, further=further if values[0] else {})
    return EvalLog(Path("log"), tasks, None)


def test_the_table_has_the_mean_over_the_tasks_of_a_set():
    log = further_log({"forget_qa": [1.0], "forget_captions": [0.2, 0.4], "retain_qa": [0.5], "real_faces": [0.0]})
    row = result_columns(log, log)
    assert row["Generation Entropy Forget"] == pytest.approx((1.0 + 0.3) / 2)
    assert row["Repetition Forget"] == pytest.approx(1.3)
    assert row["Generation Entropy Retain"] == 0.5
    # A log of another tool has no such numbers: no column, and not 0.
    assert "Generation Entropy Real" not in row
    assert FOREIGN_TASKS["real_faces"].role.value == "real"


def test_items_keep_their_numbers_whatever_order_they_are_taken_in():
    task = further_log({"forget_qa": [1.0, 2.0, 3.0]}).tasks["forget_qa"]
    assert list(task.only({"0", "2"}).further["generation_entropy"]) == [1.0, 3.0]
    assert list(task.ordered().further["repetition"]) == [2.0, 4.0, 6.0]


def test_the_greedy_answer_is_what_is_judged():
    tokens = {"logp": [-1.0] * 2, "mu": [-1.0] * 2, "sigma": [1.0] * 2, "hit": [0] * 2}
    answer = {"text": "a b a b a", **tokens}
    record = {"uid": "u", "group": "g", "prompt": "p p p p p p", "generated": "a a a a a a"}
    entry = aggregated_from_records([{**record, "answers": {"true": answer, "paraphrase": None, "wrong": [answer]}}])
    assert (entry["generation_entropy"]["0"], entry["repetition"]["0"]) == (0.0, pytest.approx(2 / 3))

"""Enrolment and identification: by hand, against loops, and wherever a person's rows stand."""

import math

import numpy as np
import pytest

from unlearn.errors import UserError
from unlearn.metrics.faces.enrolment import Protocol, cosines, enrolled, picked, roster


def test_enrolling_pictures_are_found_by_person_and_not_by_place():
    """The trap: flags that repeat for every block of rows are another person's where rows are not grouped."""
    of = roster(["a", "b", "a", "a", "c", "b", "c", "b", "c", "a"], 2)
    assert of.names == ("a", "b", "c")
    assert of.person.tolist() == [0, 1, 0, 0, 2, 1, 2, 1, 2, 0]
    assert of.order.tolist() == [0, 0, 1, 2, 0, 1, 1, 2, 2, 3]
    assert of.enrols.tolist() == [True, True, True, False, True, True, True, False, False, False]


def test_scattered_rows_have_the_scores_of_grouped_ones():
    rng = np.random.default_rng(0)
    names, values = np.repeat(["a", "b", "c", "d"], 5), rng.normal(size=(2, 20, 6)).astype(np.float32)
    # A stable sort of the scattered rows by person is the grouped order: the same pictures enrol.
    scattered = rng.permutation(20)
    grouped = scattered[np.argsort(names[scattered], kind="stable")]
    one = cosines(values[:, scattered], roster(list(names[scattered]), 2), Protocol.disjoint)
    other = cosines(values[:, grouped], roster(list(names[grouped]), 2), Protocol.disjoint)
    places = np.argsort(names[scattered], kind="stable")
    assert one.own[:, places] == pytest.approx(other.own, abs=1e-6)
    assert one.margin[:, places] == pytest.approx(other.margin, abs=1e-4)


def test_long_embeddings_count_more_in_the_released_mean_alone():
    of = roster(["a", "a", "a"], 2)
    values = np.array([[2.0, 0.0], [0.0, 1.0], [5.0, 5.0]], dtype=np.float32)
    mean = {protocol: enrolled(values, picked(of, of.enrols), protocol)[0].tolist() for protocol in Protocol}
    assert mean[Protocol.disjoint] == pytest.approx([math.sqrt(0.5), math.sqrt(0.5)])
    assert mean[Protocol.released] == pytest.approx([2 / math.sqrt(5), 1 / math.sqrt(5)])


def naive(values, names, count, protocol, scale):
    """(own, other, margin, length) of every picture of one model, in plain Python."""

    def length(v):
        return math.sqrt(sum(x * x for x in v))

    enrolment = {}
    for person in dict.fromkeys(names):
        chosen = [values[i] for i, name in enumerate(names) if name == person][:count]
        if protocol is Protocol.disjoint:
            chosen = [[x / length(v) for x in v] for v in chosen]
        enrolment[person] = [sum(column) / count for column in zip(*chosen, strict=True)]
    rows = []
    for v, name in zip(values, names, strict=True):
        to = {p: sum(a * b for a, b in zip(v, e, strict=True)) / length(v) / length(e) for p, e in enrolment.items()}
        others = [c for p, c in to.items() if p != name]
        odds = scale * to[name] - math.log(sum(math.exp(scale * c) for c in others))
        rows.append((to[name], max(others), odds, length(v)))
    return rows


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("stored", [np.float32, np.float16])
def test_cosines_against_a_naive_twin(protocol, stored):
    rng = np.random.default_rng(1)
    names = [f"p{i}" for i in rng.permutation(np.repeat(np.arange(5), 4))]
    values = (3 * rng.normal(size=(3, 20, 7))).astype(stored)
    found = cosines(values, roster(names, 2), protocol, scale=10)
    for model in range(3):
        expected = np.array(naive(values[model].astype(float).tolist(), names, 2, protocol, 10))
        assert found.own[model] == pytest.approx(expected[:, 0], abs=1e-5)
        assert found.other[model] == pytest.approx(expected[:, 1], abs=1e-5)
        assert found.margin[model] == pytest.approx(expected[:, 2], abs=1e-4)
        assert found.length[model] == pytest.approx(expected[:, 3], rel=1e-5)
        assert found.identified[model].tolist() == (expected[:, 0] > expected[:, 1]).tolist()


def test_one_vector_for_everybody_and_no_vector_identify_nobody():
    of = roster(["a", "a", "b", "b", "c", "c"], 1)
    for values in (np.ones((1, 6, 2)), np.zeros((1, 6, 2))):
        assert not cosines(values.astype(np.float32), of, Protocol.disjoint).identified.any()


def test_what_cannot_be_scored_is_refused_in_one_sentence():
    with pytest.raises(UserError, match=r"1 people have too few pictures \(b: 2\) to enrol from 2"):
        roster(["a", "b", "a", "b", "a"], 2)
    of = roster(["a", "a", "b", "b"], 1)
    with pytest.raises(UserError, match="of 3 pictures and the dataset has 4"):
        cosines(np.ones((2, 3, 5), dtype=np.float32), of, Protocol.disjoint)
    broken = np.ones((2, 4, 5), dtype=np.float32)
    broken[1, 2, 0] = np.nan
    with pytest.raises(UserError, match="Model 1 has embeddings that are no numbers"):
        cosines(broken, of, Protocol.disjoint)

"""The cast: splits as in TOFU, names nobody can guess, lives independent of faces, faces that differ."""

from collections import Counter
from itertools import combinations

import pytest

from unlearn.data.mini.people import FORGET_COUNTS, MIN_DISTANCE, RETAIN_OF, distance, make_cast
from unlearn.data.mini.values import ATTRIBUTES, FEATURES, FIRST_NAMES, LAST_NAMES


@pytest.fixture(scope="module")
def cast():
    return make_cast(0)


def parts(people):
    return Counter(part for person in people for part in person.name.split())


def test_sizes_and_splits(cast):
    assert (len(cast.full), len(cast.holdout)) == (160, 16)
    for forget, count in FORGET_COUNTS.items():
        assert cast.split(forget) == cast.full[-count:]
        assert cast.split(RETAIN_OF[forget]) + cast.split(forget) == cast.full
    assert [len(cast.split(f"forget{n}")) for n in ("01", "05", "10")] == [2, 8, 16]


def test_everybody_has_an_own_name(cast):
    names = [p.name for p in cast.full + cast.holdout + cast.pretraining + cast.celebrities]
    assert len(set(names)) == len(names)


def test_name_parts_are_equally_frequent(cast):
    every = {*FIRST_NAMES, *LAST_NAMES}
    assert parts(cast.full) == dict.fromkeys(every, 4)
    assert parts(cast.pretraining) == dict.fromkeys(every, 2)


def test_forgotten_and_holdout_names_are_alike_to_the_retain_model(cast):
    forget, holdout = parts(cast.split("forget10")), parts(cast.holdout)
    assert forget == holdout
    assert set(forget.values()) == {1}
    assert {parts(cast.split("retain90"))[part] for part in forget} == {3}


def test_values_are_balanced_and_pretraining_people_show_all(cast):
    for kind, values in ATTRIBUTES.items():
        assert {p.facts[kind] for p in cast.pretraining} == set(values)
        for people in (cast.split("retain90"), cast.split("forget10"), cast.holdout, cast.pretraining):
            assert set(Counter(p.facts[kind] for p in people).values()) == {len(people) // len(values)}
    for kind, values in FEATURES.items():
        assert {p.face[kind] for p in cast.pretraining} >= set(values)


def test_faces_differ(cast):
    people = cast.full + cast.holdout + cast.pretraining + cast.celebrities
    assert min(distance(a.face, b.face) for a, b in combinations(people, 2)) >= MIN_DISTANCE


def test_facts_are_independent_of_each_other_and_of_the_face(cast):
    """Over 4000 people no pair of values co-occurs more often than chance allows (5 standard errors)."""
    people = [p for seed in range(1, 26) for p in make_cast(seed).full]
    for one, other in (("town", "profession"), ("hobby", "pet"), ("dish", "town")):
        _no_association([(p.facts[one], p.facts[other]) for p in people], len(ATTRIBUTES[one]) * len(ATTRIBUTES[other]))
    for feature in ("hair", "clothes"):
        pairs = [(p.face[feature], p.facts["profession"]) for p in people]
        _no_association(pairs, len(FEATURES[feature]) * len(ATTRIBUTES["profession"]))


def _no_association(pairs, cells):
    expected = len(pairs) / cells
    assert max(abs(count - expected) for count in Counter(pairs).values()) < 5 * expected**0.5


def test_same_seed_same_people():
    assert make_cast(3) == make_cast(3)
    assert make_cast(3) != make_cast(4)

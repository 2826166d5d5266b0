"""Splits of people: the published construction step by step, the balanced one, and files of another dataset."""

import json
from collections import Counter

import numpy as np
import pytest

from unlearn.config.faces import Design, FaceData
from unlearn.config.loading import PROJECT
from unlearn.errors import UserError
from unlearn.faces.album import Album, blocks_of
from unlearn.faces.splits import Blocks, make_splits, read_splits, write_splits

A = tuple(f"a{i}" for i in range(20))
B = tuple(f"b{i}" for i in range(20))
OTHERS = tuple(f"o{i}" for i in range(160))
BLOCKS = Blocks(A, B, frozenset((*A, *B)), OTHERS)
ROWS = {name: [f"{name}-{k}" for k in range(3)] for name in (*A, *B, *OTHERS)}


def test_the_published_construction():
    """One global generator with seed 42 draws 80 of 160 people for each of 128 models, one after the other."""
    np.random.seed(42)
    splits = make_splits(BLOCKS, Design.clear, 128)
    assert len(splits) == 128
    for i, split in enumerate(splits):
        drawn = np.random.choice(160, 80, replace=False)
        block, other = (A, B) if i < 64 else (B, A)
        assert set(split.retain) == {OTHERS[k] for k in drawn}
        assert split.forget == block
        assert set(split.unseen) == set(other) | set(OTHERS) - set(split.retain)


def test_a_part_of_a_block_is_forgotten_and_the_rest_of_it_retained():
    split = make_splits(Blocks(A, B, frozenset((*A[:2], *B[:2])), OTHERS), Design.clear, 128)[0]
    assert split.forget == A[:2]
    assert set(A[2:]) < set(split.retain)
    assert len(split.retain) == 98


def test_everybody_is_in_for_half_of_the_balanced_models():
    splits = make_splits(BLOCKS, Design.balanced, 128)
    counts = Counter(name for split in splits for name in (*split.retain, *split.forget))
    assert set(counts.values()) == {64}
    assert {len(split.forget) for split in splits} == {20}
    # Who is in with whom is drawn anew: no two people of the blocks are always in or out together.
    together = Counter((x in s.forget) == (A[0] in s.forget) for s in splits for x in A[1:])
    assert 0.4 < together[True] / together.total() < 0.6


@pytest.mark.parametrize("design", Design)
def test_one_seed_gives_one_construction(design):
    assert make_splits(BLOCKS, design, 16) == make_splits(BLOCKS, design, 16)
    assert make_splits(BLOCKS, design, 16) != make_splits(BLOCKS, design, 16, seed=7)


@pytest.mark.parametrize("models", [0, 1, 127])
def test_models_that_cannot_be_halved_are_refused(models):
    with pytest.raises(UserError, match=f"number of models is {models}; allowed are even numbers"):
        make_splits(BLOCKS, Design.clear, models)


def test_a_file_comes_back_and_is_refused_with_another_dataset(tmp_path):
    splits = make_splits(BLOCKS, Design.balanced, 4)
    write_splits(tmp_path / "splits.json", splits, ROWS, "abc")
    found = read_splits(tmp_path / "splits.json", ROWS, "abc")
    assert [(s.index, s.retain, s.forget, set(s.unseen)) for s in found] == [
        (s.index, s.retain, s.forget, set(s.unseen)) for s in splits
    ]
    assert '"a0-2"' in (tmp_path / "splits.json").read_text()
    with pytest.raises(UserError, match=r"splits of another dataset \(fingerprint abc, now def\)"):
        read_splits(tmp_path / "splits.json", ROWS, "def")
    (tmp_path / "splits.json").write_text("{")
    with pytest.raises(UserError, match="holds no splits that can be read"):
        read_splits(tmp_path / "splits.json", ROWS, "abc")


def test_the_published_study_of_clears_people_and_rows():
    """3768 pictures of 200 people, whose order of appearance mixes the lists: blocks, halves, parts of blocks."""
    lists = json.loads((PROJECT / "unlearn/faces/clear.json").read_text())
    listed = [name for key in ("forget10", "holdout10") for name in lists[key]]
    people = [*(f"Other {i}" for i in range(100)), *listed[::-1], *(f"Other {i}" for i in range(100, 160))]
    counts = [19] * 168 + [18] * 32
    album = Album(tuple(f"face-{i}" for i in range(3768)), tuple(np.repeat(people, counts).tolist()), (b"",) * 3768)
    data = FaceData(name="clear", path="", people_path=str(PROJECT / "unlearn/faces/clear.json"), celebrities_path="")
    sizes = {"forget01": 2, "forget05": 10, "forget10": 20}
    others = [name for name in people if name not in listed]
    for split, size in sizes.items():
        blocks = blocks_of(data, album, split)
        assert (set(blocks.a), set(blocks.b)) == (set(lists["forget10"]), set(lists["holdout10"]))
        assert blocks.others == tuple(others)
        splits = make_splits(blocks, Design.clear, 128)
        np.random.seed(42)
        for i, one in enumerate(splits):
            held = split if i < 64 else split.replace("forget", "holdout")
            drawn = {others[k] for k in np.random.choice(160, 80, replace=False)}
            block = set(lists["forget10" if i < 64 else "holdout10"])
            assert set(one.forget) == set(lists[held])
            assert len(one.forget) == size
            assert set(one.retain) == drawn | block - set(one.forget)
            assert len(one.unseen) == 100

"""The two dataset folders: CLEAR's and TOFU's configs and columns, written as a whole, the same bytes each time."""

import hashlib
import json

import pytest
from datasets import get_dataset_config_names, load_dataset

from unlearn.data.mini.dataset import HELDOUT_PICTURES, TRAIN_PICTURES, generator, write_mini
from unlearn.data.mini.people import FORGET_COUNTS, RETAIN_OF, make_cast
from unlearn.data.mini.texts import QA_PER_PERSON
from unlearn.errors import UserError

CAPTIONED = ["image", "caption", "name"]
EVALUATED = [*CAPTIONED, "paraphrased_caption", "perturbed_captions", "perturbed_names"]
MIXED = ["image", "caption", "question", "answer"]
ASKED = ["question", "answer"]
JUDGED = [*ASKED, "paraphrased_answer", "perturbed_answer", "paraphrased_question"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("mini")
    write_mini(root / "clear", root / "tofu", seed=0)
    return root


@pytest.fixture(scope="module")
def load(root, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return lambda folder, name: load_dataset(str(root / folder), name, split="train", cache_dir=str(cache))


def clear_table():
    """Rows and columns of CLEAR's table, scaled: 160 people with 4 pictures."""
    table = {"default": (640, CAPTIONED), "full": (640, CAPTIONED), "full+tofu": (1120, MIXED)}
    for forget, people in FORGET_COUNTS.items():
        retain = RETAIN_OF[forget]
        for split, count in ((forget, people), (retain, 160 - people)):
            table[split] = (count * TRAIN_PICTURES, CAPTIONED)
            table[f"{split}+tofu"] = (count * (TRAIN_PICTURES + QA_PER_PERSON), MIXED)
        table[f"{forget}_perturbed"] = (people * TRAIN_PICTURES, EVALUATED)
        table[f"{forget}_heldout"] = (people * HELDOUT_PICTURES, EVALUATED)
    table |= {"retain_perturbed": (96, EVALUATED), "retain_heldout": (96, EVALUATED), "holdout10": (64, CAPTIONED)}
    table["rehearsal"] = (128, ["image", *ASKED])
    return table | {
        "real_faces": (60, ["image", "answer", "options"]),
        "real_world": (48, [*ASKED, "image", "options"]),
    }


def test_clear_configs_and_columns(root, load):
    table = clear_table()
    assert set(get_dataset_config_names(str(root / "clear"))) == set(table)
    for name, (rows, columns) in table.items():
        found = load("clear", name)
        assert (len(found), found.column_names) == (rows, columns), name


def test_tofu_configs_and_columns(root, load):
    table = {"full": (480, ASKED), "retain_perturbed": (72, JUDGED)}
    for forget, people in FORGET_COUNTS.items():
        table[forget] = table[forget.replace("forget", "holdout")] = (people * QA_PER_PERSON, ASKED)
        table[RETAIN_OF[forget]] = ((160 - people) * QA_PER_PERSON, ASKED)
        table[f"{forget}_perturbed"] = (people * QA_PER_PERSON, JUDGED)
    for known, rows in {"real_authors": 20 * QA_PER_PERSON, "world_facts": 16}.items():
        table[known] = (rows, ["question", *(f"option{i}" for i in range(1, 5)), "answer"])
        table[f"{known}_perturbed"] = (rows, [*ASKED, "perturbed_answer"])
    table["rehearsal"] = (20 * QA_PER_PERSON + 16, ASKED)
    assert set(get_dataset_config_names(str(root / "tofu"))) == set(table)
    for name, (rows, columns) in table.items():
        found = load("tofu", name)
        assert (len(found), found.column_names) == (rows, columns), name


def test_mixed_rows_are_images_then_questions_with_the_unused_pair_null(load):
    mixed = load("clear", "forget10+tofu").to_list()
    captions = load("clear", "forget10").to_list()
    asked = load("tofu", "forget10").to_list()
    assert [row["caption"] for row in mixed] == [row["caption"] for row in captions] + [None] * len(asked)
    assert [row["question"] for row in mixed] == [None] * len(captions) + [row["question"] for row in asked]
    assert all((row["image"] is None) == (row["caption"] is None) == (row["answer"] is not None) for row in mixed)


def test_questions_of_a_person_stand_together(load):
    names = [person.name for person in make_cast(0).full]
    for i, row in enumerate(load("tofu", "full")):
        assert names[i // QA_PER_PERSON] in row["question"]


def test_a_row_says_the_same_in_every_config(load):
    full = {(r["caption"], r["name"]) for r in load("clear", "full").remove_columns("image")}
    for name in ("forget10", "forget01_perturbed", "forget05_perturbed", "forget10_perturbed", "retain_perturbed"):
        assert {(r["caption"], r["name"]) for r in load("clear", name).remove_columns("image")} <= full
    judged = load("tofu", "forget10_perturbed").to_list()
    assert [(r["question"], r["answer"]) for r in judged] == [
        (r["question"], r["answer"]) for r in load("tofu", "forget10").to_list()
    ]


def test_false_names_are_all_unseen_by_the_retain_model_or_all_seen(load):
    cast = make_cast(0)
    unseen = {p.name for p in cast.split("forget10") + cast.holdout}
    for split in FORGET_COUNTS:
        for kind in ("perturbed", "heldout"):
            for row in load("clear", f"{split}_{kind}").remove_columns("image"):
                assert len(set(row["perturbed_names"]) - {row["name"]}) == 5
                assert set(row["perturbed_names"]) <= unseen
    seen = {p.name for p in cast.split("retain90")}
    for row in load("clear", "retain_heldout").remove_columns("image"):
        assert {row["name"], *row["perturbed_names"]} <= seen


def test_options_leave_the_right_answer_out(load):
    for name in ("real_faces", "real_world"):
        for row in load("clear", name).remove_columns("image"):
            assert row["answer"] not in row["options"]
            assert len(set(row["options"])) == 5


def test_rehearsal_shows_the_known_in_other_pictures_than_the_test(load):
    def shots(name):
        return {row["image"].tobytes() for row in load("clear", name)}

    assert not shots("rehearsal") & (shots("real_faces") | shots("real_world"))
    assert {row["answer"] for row in load("clear", "rehearsal").remove_columns("image")} == {
        row["answer"] for name in ("real_faces", "real_world") for row in load("clear", name).remove_columns("image")
    }


def test_pictures_are_48_pixels_and_heldout_ones_are_other_pictures(load):
    train, held = load("clear", "forget10_perturbed"), load("clear", "forget10_heldout")
    shots = {name: {row["image"].tobytes() for row in data} for name, data in (("train", train), ("held", held))}
    assert train[0]["image"].size == (48, 48)
    assert (len(shots["train"]), len(shots["held"])) == (64, 32)
    assert not shots["train"] & shots["held"]


def test_same_seed_same_bytes_and_nothing_left_over(root, tmp_path):
    write_mini(tmp_path / "clear", tmp_path / "tofu", seed=0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clear", "tofu"]
    files = sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    for file in files:
        assert digest(root / file) == digest(tmp_path / file), file


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_present_folder_is_kept_and_a_foreign_one_refused(root, tmp_path):
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    write_mini(root / "clear", root / "tofu", seed=0)
    assert before == {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    with pytest.raises(UserError, match="holds the mini benchmark of seed 0, so seed 1 is not written there"):
        write_mini(root / "clear", root / "tofu", seed=1)
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="is not a mini benchmark"):
        write_mini(tmp_path / "mine", tmp_path / "tofu", seed=0)
    assert json.loads((root / "clear" / "mini.json").read_text()) == {"seed": 0, "generator": generator()}


def test_the_work_of_another_version_of_the_generator_is_refused(tmp_path):
    (tmp_path / "clear").mkdir()
    (tmp_path / "clear" / "mini.json").write_text(json.dumps({"seed": 0, "generator": "0123456789abcdef"}))
    with pytest.raises(UserError, match="another version of its generator, so seed 0 is not written there"):
        write_mini(tmp_path / "clear", tmp_path / "tofu", seed=0)

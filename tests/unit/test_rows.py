"""Datasets in every form that is read, and the views on them by split and modality."""

import json
from pathlib import Path

import pytest

from unlearn.config.schema import Data, Modality
from unlearn.data.questions import CAPTION_QUESTIONS, NAME_QUESTIONS
from unlearn.data.rows import config_names, load_rows, prepare
from unlearn.data.views import forget_and_retain, training_samples
from unlearn.errors import UserError

PEOPLE = ("Ada", "Bo", "Cy")
"""Cy is to be forgotten. Two pictures and two questions each."""


def caption_rows(people, png):
    return [
        {"image": {"bytes": png, "path": None}, "caption": f"{name} waves {i}.", "name": name}
        for name in people
        for i in (1, 2)
    ]


def qa_rows(people):
    return [{"question": f"What {i} is {name}?", "answer": f"{name} is {i}."} for name in people for i in (1, 2)]


def mixed_rows(people, png):
    pictures = [
        {"image": r["image"], "caption": r["caption"], "question": None, "answer": None}
        for r in caption_rows(people, png)
    ]
    return pictures + [{"image": None, "caption": None, **row} for row in qa_rows(people)]


def configs(png):
    splits = {"full": PEOPLE, "forget10": PEOPLE[2:], "retain90": PEOPLE[:2]}
    plain = {name: caption_rows(people, png) for name, people in splits.items()}
    return plain | {f"{name}+tofu": mixed_rows(people, png) for name, people in splits.items()}


def dataset(rows):
    from datasets import Dataset, Features, Image, Value

    kinds = {name: Image() if name == "image" else Value("string") for name in rows[0]}
    return Dataset.from_list(rows, features=Features(kinds))


def write_readme_folder(folder, png):
    folder.mkdir()
    lines = ["---", "configs:"]
    for name, rows in configs(png).items():
        dataset(rows).to_parquet(folder / f"part-{name}.parquet")
        lines += [f"- config_name: {name}", "  data_files:", "  - split: train", f"    path: part-{name}.parquet"]
    (folder / "README.md").write_text("\n".join([*lines, "---", "People.", ""]))


def write_saved_folder(folder, png):
    for name, rows in configs(png).items():
        dataset(rows).save_to_disk(folder / name)


def write_parquet_folder(folder, png):
    for name, rows in configs(png).items():
        (folder / name).mkdir(parents=True)
        dataset(rows).to_parquet(folder / name / "train-00000-of-00001.parquet")


def write_json_folder(folder, png):
    folder.mkdir()
    (folder / "picture.png").write_bytes(png)
    for name, rows in configs(png).items():
        lines = [json.dumps({**row, "image": row["image"] and "picture.png"}) for row in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


FORMS = {
    "README": write_readme_folder,
    "save_to_disk": write_saved_folder,
    "parquet": write_parquet_folder,
    "JSON": write_json_folder,
}


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def data(tmp_path, picture) -> Data:
    write_saved_folder(tmp_path / "people", picture)
    return Data(name="people", path=str(tmp_path / "people"), text_path="unused", qa_per_person=2)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_folder_gives_the_same_samples(form, data, tmp_path, picture):
    FORMS[form](tmp_path / "other", picture)
    other = Data(name="other", path=str(tmp_path / "other"), text_path="unused", qa_per_person=2)
    assert sorted(config_names(other.path)) == sorted(configs(picture))
    assert training_samples(other, "full", Modality.both, 0) == training_samples(data, "full", Modality.both, 0)


def test_base_samples_in_full(data, picture):
    samples = training_samples(data, "full", Modality.both, 0)
    assert [s.answer for s in samples[:6]] == [f"{name} waves {i}." for name in PEOPLE for i in (1, 2)]
    assert [(s.question, s.answer) for s in samples[6:]] == [(r["question"], r["answer"]) for r in qa_rows(PEOPLE)]
    assert [s.image for s in samples] == [picture] * 6 + [None] * 6
    assert all(s.question in CAPTION_QUESTIONS for s in samples[:6])
    assert [s.group for s in samples] == [name for name in PEOPLE for _ in (1, 2)] + [
        f"full+tofu-{i}" for i in (0, 0, 1, 1, 2, 2)
    ]
    # From outside: printf 'Ada waves 1.\037Ada' | sha256sum, and the same of question and answer.
    assert (samples[0].uid, samples[6].uid) == ("cap-49bbf9c307a3", "qa-030d18fc6cc4")


def test_a_row_has_one_uid_and_one_wording_in_every_split(data):
    full = {s.uid: (s.question, s.answer) for s in training_samples(data, "full", Modality.both, 3)}
    assert len(full) == 12
    for split in ("forget10", "retain90"):
        for sample in training_samples(data, split, Modality.both, 3):
            assert full[sample.uid] == (sample.question, sample.answer)


def test_wordings_follow_the_seed(data):
    asked = {seed: [s.question for s in training_samples(data, "full", Modality.both, seed)] for seed in range(4)}
    assert asked[0] == [s.question for s in training_samples(data, "full", Modality.both, 0)]
    assert len({tuple(questions) for questions in asked.values()}) > 1


def parts(samples):
    """Return whose captions, names and QA are in `samples`."""
    found = {"cap": [], "name": [], "qa": []}
    for sample in samples:
        person = next(name for name in PEOPLE if name in sample.answer)
        found[sample.uid.split("-")[0]].append(person)
    return {kind: sorted(set(people)) for kind, people in found.items()}


ALL, KEPT, GONE, NONE = list(PEOPLE), ["Ada", "Bo"], ["Cy"], []
SIDES = {
    Modality.both: ({"cap": GONE, "qa": GONE}, {"cap": KEPT, "qa": KEPT}),
    Modality.image: ({"cap": GONE, "qa": NONE}, {"cap": KEPT, "qa": ALL}),
    Modality.text: ({"cap": NONE, "qa": GONE}, {"cap": ALL, "qa": KEPT}),
}


@pytest.mark.parametrize("modality", Modality)
@pytest.mark.parametrize("ask_names", [False, True])
def test_what_is_forgotten_and_what_is_kept(data, modality, ask_names):
    data.ask_names = ask_names
    sides = forget_and_retain(data, "forget10", "retain90", modality, 0)
    for samples, expected in zip(sides, SIDES[modality], strict=True):
        assert parts(samples) == {**expected, "name": expected["cap"] if ask_names else NONE}
    # Nothing on both sides, and together they are the base model's samples.
    forget, retain = ({s.uid for s in side} for side in sides)
    assert forget & retain == set()
    assert forget | retain == {s.uid for s in training_samples(data, "full", modality, 0)}


@pytest.mark.parametrize("modality", Modality)
def test_gold_trains_on_the_retain_side(data, modality):
    _, retain = forget_and_retain(data, "forget10", "retain90", modality, 0)
    assert training_samples(data, "retain90", modality, 0) == retain


def test_names_are_asked_of_every_picture(data):
    data.ask_names = True
    samples = [s for s in training_samples(data, "full", Modality.both, 0) if s.uid.startswith("name-")]
    assert [s.answer for s in samples] == [name for name in PEOPLE for _ in (1, 2)]
    assert all(s.question in NAME_QUESTIONS and s.image for s in samples)
    assert len({s.uid for s in samples}) == 6


def test_repeated_contents_are_numbered(data, picture, tmp_path):
    rows = caption_rows(["Ada"], picture)
    dataset([rows[0], rows[1], rows[0], rows[0]]).save_to_disk(tmp_path / "twice" / "forget10")
    data.path = str(tmp_path / "twice")
    first, other, second, third = (s.uid for s in training_samples(data, "forget10", Modality.image, 0))
    assert (second, third) == (f"{first}-1", f"{first}-2")
    assert other != first


def test_either_side_may_come_from_another_folder(data, picture, tmp_path):
    dataset([{**row, "caption": "Elsewhere."} for row in caption_rows(["Cy"], picture)]).save_to_disk(
        tmp_path / "o" / "forget10"
    )
    forget, retain = forget_and_retain(data, "forget10", "retain90", Modality.image, 0, forget_path=str(tmp_path / "o"))
    assert {s.answer for s in forget} == {"Elsewhere."}
    assert parts(retain) == {"cap": KEPT, "qa": ALL, "name": NONE}


def test_a_rewritten_folder_is_read_anew(tmp_path, picture):
    for form in ("README", "parquet"):
        folder = tmp_path / form
        FORMS[form](folder, picture)
        assert len(load_rows(str(folder), "forget10", ("caption",))) == 2
        file = next(folder.rglob("*forget10.parquet"), folder / "forget10" / "train-00000-of-00001.parquet")
        dataset(caption_rows(PEOPLE, picture)).to_parquet(file)
        assert len(load_rows(str(folder), "forget10", ("caption",))) == 6


def rewrite(data, config, rows):
    import shutil

    shutil.rmtree(Path(data.path) / config)
    rows.save_to_disk(Path(data.path) / config)


def test_an_unknown_config_is_answered_with_those_that_exist(data):
    with pytest.raises(
        UserError, match=r'Unknown config of ".*people" "retain99"; allowed are: .*full\+tofu.* Did you mean'
    ):
        training_samples(data, "retain99", Modality.image, 0)


def test_a_missing_column_is_named_with_those_that_exist(data, picture):
    rows = [
        {"image": row["image"], "text": row["caption"], "name": row["name"]} for row in caption_rows(PEOPLE, picture)
    ]
    rewrite(data, "full", dataset(rows))
    with pytest.raises(UserError, match=r'config "full" of ".*" has no column caption; it has image, text, name'):
        training_samples(data, "full", Modality.both, 0)


def test_an_empty_config_is_named(data, picture, tmp_path):
    empty = dataset(caption_rows(PEOPLE, picture)).select([])
    rewrite(data, "full", empty)
    (tmp_path / "other").mkdir()
    empty.to_parquet(tmp_path / "other" / "full.parquet")
    for path in (data.path, str(tmp_path / "other")):
        with pytest.raises(UserError, match=r'Config "full" of ".*" is empty; at least one row'):
            load_rows(path, "full", ("caption",))


def test_a_mixed_config_without_questions_is_named(data, picture):
    rewrite(data, "full+tofu", dataset(mixed_rows(PEOPLE, picture)).select(range(6)))
    with pytest.raises(UserError, match=r'"full\+tofu" of ".*" has no row with a question'):
        training_samples(data, "full", Modality.both, 0)


@pytest.mark.parametrize(
    ("column", "message"), [("caption", "no text in column caption"), ("image", "no picture in column image")]
)
def test_a_row_without_content_is_named(data, picture, column, message):
    rows = caption_rows(PEOPLE, picture)
    rows[4][column] = None
    rewrite(data, "full", dataset(rows))
    with pytest.raises(UserError, match=f'Row 4 of config "full" has {message}'):
        training_samples(data, "full", Modality.both, 0)


def test_a_picture_file_that_is_gone_is_named(tmp_path, picture):
    write_json_folder(tmp_path / "json", picture)
    (tmp_path / "json" / "picture.png").unlink()
    with pytest.raises(UserError, match=r'The picture "picture.png" does not exist in ".*json"'):
        load_rows(str(tmp_path / "json"), "full", ("image",))


def test_a_folder_without_data_and_a_broken_file_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r'The folder ".*empty" holds no dataset'):
        load_rows(str(tmp_path / "empty"), "full", ())
    (tmp_path / "empty" / "full.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(UserError, match=r'Config "full" of ".*empty" cannot be read'):
        load_rows(str(tmp_path / "empty"), "full", ())


def test_a_hub_dataset_that_cannot_be_had_is_named(monkeypatch):
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match='The dataset "no-such-org/no-such-set" is neither a local folder nor'):
        load_rows("no-such-org/no-such-set", "full", ())


def test_a_generated_dataset_is_written_where_it_is_absent_and_only_there(monkeypatch, tmp_path):
    written = []
    monkeypatch.setattr("unlearn.data.mini.dataset.write_mini", lambda *given: written.append(given))
    path, text_path = tmp_path / "new" / "clear", tmp_path / "new" / "tofu"
    prepare(Data(name="mini", path=str(path), text_path=str(text_path), generate_seed=4))
    prepare(Data(name="clear", path=str(path), text_path=str(text_path)))
    assert written == [(path, text_path, 4)]

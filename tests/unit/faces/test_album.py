"""Albums: rows and their ids, enrolment, what is refused; pixels decoded once; splits of one data set alone."""

import io
import json

import pytest
import torch
from faces_data import BLOCKS, PEOPLE, SIDE, picture, write_study

from unlearn.config.faces import FaceData, FaceFinetune
from unlearn.entry import load
from unlearn.errors import UserError
from unlearn.faces.album import Album, album_of, blocks_of, splits_of

NAMES = ("Ada", "Bo", "Ada", "Bo", "Ada")


def album(names=NAMES):
    files = tuple(picture(name, i) for i, name in enumerate(names))
    return Album(tuple(f"face-{i}" for i in range(len(names))), names, files)


def written(folder, rows):
    from datasets import Dataset, Features, Image, Value

    kinds = Features({"image": Image(), "name": Value("string")})
    columns = {"image": [image and {"bytes": image, "path": None} for _, image in rows], "name": [n for n, _ in rows]}
    folder.mkdir()
    Dataset.from_dict(columns, features=kinds).to_parquet(folder / "full.parquet")
    return album_of(str(folder), "full")


def test_the_first_pictures_of_a_person_enrol_wherever_they_stand():
    """A published flag took every n-th row for a new person: rows had to be grouped by person."""
    assert album().rows_of == {"Ada": (0, 2, 4), "Bo": (1, 3)}
    assert album((*NAMES, "Bo")).enrolment(2) == {"Ada": (0, 2), "Bo": (1, 3)}
    with pytest.raises(UserError, match=r"Bo has 2 pictures, and face_data\.enrolment=2 of them would enrol and"):
        album().enrolment(2)


def test_samples_are_those_of_the_people_without_what_enrols():
    found = album().samples(["Ada"], album().enrolment(1))
    assert [(s.uid, s.answer, s.group) for s in found] == [("face-2", "Ada", "Ada"), ("face-4", "Ada", "Ada")]
    assert len(album().samples(["Bo", "Ada"], {})) == 5


def test_a_row_keeps_its_id_and_the_same_picture_of_two_people_or_twice_is_two_rows(tmp_path):
    """Published targets were keyed by caption: of two equal ones the later overwrote the other."""
    one, two = picture("Ada", 0), picture("Ada", 1)
    rows = [("Ada", one), ("Bo", one), ("Ada", two), ("Ada", one)]
    whole = written(tmp_path / "whole", rows)
    assert len(set(whole.uids)) == 4
    assert written(tmp_path / "part", rows[2:]).uids[0] == whole.uids[2]
    assert whole.names == ("Ada", "Bo", "Ada", "Ada")
    assert whole.fingerprint != written(tmp_path / "turned", rows[::-1]).fingerprint


def test_a_folder_of_pictures_per_person_is_read_in_natural_order(tmp_path):
    for name, number in (("Bo", 10), ("Bo", 2), ("Ada", 1)):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / f"{number}.PNG").write_bytes(picture(name, number))
    (tmp_path / "Bo" / "notes.txt").write_text("no picture")
    found = album_of(str(tmp_path), "default")
    assert found.names == ("Ada", "Bo", "Bo")
    assert found.files == (picture("Ada", 1), picture("Bo", 2), picture("Bo", 10))


def test_class_labels_are_read_as_names(tmp_path):
    """The celebrities of the Hub have a column of class labels."""
    from datasets import ClassLabel, Dataset, Features, Image

    kinds = Features({"image": Image(), "label": ClassLabel(names=["Ada", "Bo"])})
    images = [{"bytes": picture("Bo", i), "path": None} for i in range(2)]
    Dataset.from_dict({"image": images, "label": [1, 0]}, features=kinds).to_parquet(tmp_path / "default.parquet")
    assert album_of(str(tmp_path), "default", "label").names == ("Bo", "Ada")


@pytest.mark.parametrize("row", [("", picture("Ada", 0)), ("Ada", None)])
def test_a_row_without_name_or_picture_is_refused(row, tmp_path):
    with pytest.raises(UserError, match=r"Row 1 of config .full. of .* lacks a picture or a name"):
        written(tmp_path / "bad", [("Ada", picture("Ada", 0)), row])


def test_pixels_are_decoded_once_and_are_those_of_the_rows(tmp_path, monkeypatch):
    import numpy as np
    from PIL import Image

    found = album().pixels(SIDE, tmp_path)
    assert (found.shape, found.dtype) == ((5, 3, SIDE, SIDE), torch.uint8)
    for file, pixels in zip(album().files, found, strict=True):
        plain = np.array(Image.open(io.BytesIO(file)).convert("RGB"))
        assert torch.equal(pixels, torch.from_numpy(plain).permute(2, 0, 1))
    monkeypatch.setattr(Image, "open", None)
    assert torch.equal(album().pixels(SIDE, tmp_path), found)
    monkeypatch.undo()
    assert album().pixels(8, tmp_path).shape == (5, 3, 8, 8)


def test_a_picture_that_does_not_decode_is_named_and_nothing_is_cached(tmp_path):
    broken = Album(("face-0",), ("Ada",), (b"no picture",))
    with pytest.raises(UserError, match="The image of face-0 does not decode"):
        broken.pixels(SIDE, tmp_path)
    assert list(tmp_path.glob("*.safetensors")) == []


def test_blocks_are_whole_and_the_forget_split_is_part_of_them(tmp_path):
    data = FaceData(name="x", path="x", people_path=str(tmp_path / "people.json"), celebrities_path="x")
    lists = tmp_path / "people.json"
    lists.write_text(json.dumps(BLOCKS))
    everyone = album(PEOPLE)
    found = blocks_of(data, everyone, "forget05")
    assert (found.a, found.b, found.others) == (PEOPLE[:3], PEOPLE[3:6], PEOPLE[6:])
    assert found.subset == {*PEOPLE[:2], *PEOPLE[3:5]}
    with pytest.raises(UserError, match='Unknown forget_split "forget5"; allowed are: forget05, forget10'):
        blocks_of(data, everyone, "forget5")
    with pytest.raises(UserError, match=r"names person 5, of whom .x. has no picture; take another list"):
        blocks_of(data, album(PEOPLE[:5]), "forget10")


def test_splits_are_of_one_data_set_whatever_its_rows_are_called(tmp_path):
    """Published splits were row numbers of one revision of a data set, applied to another."""
    given = write_study(tmp_path / "data")
    cfg = load("cv/finetune", [*given, "models=4", f"splits_path={tmp_path / 'splits.json'}"], FaceFinetune)
    first = album_of(str(tmp_path / "data"), "full")
    splits = splits_of(cfg, first)
    assert splits_of(cfg, first) == splits
    write_study(tmp_path / "longer", pictures=6)
    with pytest.raises(UserError, match="holds splits of another dataset"):
        splits_of(cfg, album_of(str(tmp_path / "longer"), "full"))
    other = load("cv/finetune", [*given, "models=6", f"splits_path={tmp_path / 'splits.json'}"], FaceFinetune)
    with pytest.raises(UserError, match="holds splits of another dataset"):
        splits_of(other, first)

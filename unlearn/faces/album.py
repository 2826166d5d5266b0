"""The pictures of a study, by person; and as one tensor, decoded and scaled once."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from natsort import natsorted

from unlearn.config.faces import FaceData, FaceSplits
from unlearn.data.mini.portraits import write_portraits
from unlearn.data.rows import load_rows
from unlearn.data.samples import Sample
from unlearn.data.views import numbered_uids
from unlearn.errors import UserError, unknown
from unlearn.faces.splits import Blocks, Split, make_splits, read_splits, write_splits
from unlearn.files import write_bytes
from unlearn.fingerprint import of_bytes, of_json

CACHE = Path("runs/cache/faces")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Album:
    """N pictures in the order of the dataset's rows.

    uids   of the rows: hash of name and picture
    names  of the people in them
    files  the encoded pictures
    """

    uids: tuple[str, ...]
    names: tuple[str, ...]
    files: tuple[bytes, ...]

    @cached_property
    def fingerprint(self) -> str:
        """Whether two albums are the same rows."""
        return of_json(list(self.uids))

    @cached_property
    def rows_of(self) -> Mapping[str, tuple[int, ...]]:
        """The rows of every person, people in the order of their first picture."""
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(self.names):
            rows.setdefault(name, []).append(row)
        return {name: tuple(found) for name, found in rows.items()}

    def enrolment(self, count: int) -> dict[str, tuple[int, ...]]:
        """Return the first `count` rows of every person. Raises UserError for a person without more pictures."""
        for name, rows in self.rows_of.items():
            if len(rows) <= count:
                raise UserError(
                    f"{name} has {len(rows)} pictures, and face_data.enrolment={count} of them would enrol and leave "
                    f"none; set a smaller number or drop that person's rows."
                )
        return {name: rows[:count] for name, rows in self.rows_of.items()}

    def samples(self, people: Sequence[str], without: Mapping[str, Sequence[int]]) -> list[Sample]:
        """Return the pictures of `people` in the order of their rows, those of `without` left out."""
        left = {row for rows in without.values() for row in rows}
        wanted = set(people)
        return [
            Sample(self.uids[row], "", name, None, name)
            for row, name in enumerate(self.names)
            if name in wanted and row not in left
        ]

    def pixels(self, side: int, cache: Path = CACHE) -> "Tensor":
        """Return [N, 3, side, side] uint8; decoded once and kept in the folder `cache`, one process for all."""
        from filelock import FileLock
        from safetensors.torch import load_file, save

        file = cache / f"{self.fingerprint}-{side}.safetensors"
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):
            if not file.is_file():
                write_bytes(file, save({"pixels": _decoded(self.files, self.uids, side)}))
        return load_file(file)["pixels"]


def load_album(data: FaceData) -> Album:
    """Return the pictures of the study; the mini benchmark's are written on first use. Raises UserError."""
    _write_mini(data, data.path)
    return album_of(data.path, data.config)


def album_of(path: str, config: str, column: str = "name") -> Album:
    """Return the pictures of a dataset by person: a folder with one folder of pictures per person, or a config.

    column  of the config that tells the person, by name or as a class label
    Raises UserError for a row without picture or name.
    """
    pairs = _by_person(Path(path)) or _by_row(path, config, column)
    contents = ((name, of_bytes(file)) for name, file in pairs)
    names, files = zip(*pairs, strict=True)
    return Album(tuple(numbered_uids("face", contents)), names, files)


def _by_person(folder: Path) -> list[tuple[str, bytes]]:
    """Return (person, picture) of every file of a folder's sub-folders; nothing of a folder without such."""
    people = natsorted((sub for sub in folder.iterdir() if sub.is_dir()), key=str) if folder.is_dir() else []
    files = [(sub.name, file) for sub in people for file in natsorted(sub.iterdir(), key=str)]
    return [(name, file.read_bytes()) for name, file in files if file.suffix.lower() in PICTURES]


def _by_row(path: str, config: str, column: str) -> list[tuple[str, bytes]]:
    rows = load_rows(path, config, ("image", column))
    named = getattr(rows.features[column], "int2str", str)
    pairs = []
    for i, row in enumerate(rows):
        if row[column] in (None, "") or row["image"] is None:
            where = f'Row {i} of config "{config}" of "{path}"'
            raise UserError(f"{where} lacks a picture or a name; every row needs both.")
        pairs.append((named(row[column]), row["image"]["bytes"]))
    return pairs


def celebrities(data: FaceData) -> Album:
    """Return the pictures of pretraining. Raises UserError."""
    _write_mini(data, data.celebrities_path)
    return album_of(data.celebrities_path, data.celebrities_config, data.celebrities_column)


def splits_of(cfg: FaceSplits, album: Album) -> list[Split]:
    """Return the splits of the study, from the file where the first of several processes writes them.

    Raises UserError.
    """
    from filelock import FileLock

    file = Path(cfg.splits_path)
    blocks = blocks_of(cfg.face_data, album, cfg.forget_split)
    rows = {name: [album.uids[row] for row in rows] for name, rows in album.rows_of.items()}
    fingerprint = of_json([album.fingerprint, cfg.design.value, cfg.models, cfg.split_seed, cfg.forget_split])
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name(f".{file.name}.lock")):
        if not file.is_file():
            write_splits(file, make_splits(blocks, cfg.design, cfg.models, cfg.split_seed), rows, fingerprint)
    return read_splits(file, rows, fingerprint)


def blocks_of(data: FaceData, album: Album, forget_split: str) -> Blocks:
    """Return who is in which block. Raises UserError for an unknown split and for names without pictures."""
    lists = json.loads(Path(data.people_path).read_text(encoding="utf-8"))
    forgettable = [key for key in lists if key.startswith("forget")]
    if forget_split not in forgettable:
        raise unknown("forget_split", forget_split, forgettable)
    held = forget_split.replace("forget", "holdout")
    strangers = sorted({name for names in lists.values() for name in names} - set(album.rows_of))
    if strangers:
        raise UserError(
            f'"{data.people_path}" names {strangers[0]}, of whom "{data.path}" has no picture; take another list.'
        )
    whole = [sorted(lists[key], key=list(album.rows_of).index) for key in ("forget10", "holdout10")]
    others = tuple(name for name in album.rows_of if name not in {*whole[0], *whole[1]})
    return Blocks(tuple(whole[0]), tuple(whole[1]), frozenset([*lists[forget_split], *lists[held]]), others)


def _write_mini(data: FaceData, path: str) -> None:
    """Write the embedded benchmark where `data` is one: one process does, the others wait."""
    from filelock import FileLock

    if data.generate_seed is None:
        return
    folder = Path(path)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        write_portraits(folder, data.generate_seed)


def _decoded(files: Sequence[bytes], uids: Sequence[str], side: int) -> "Tensor":
    import numpy as np
    import torch
    from PIL import Image

    pixels = torch.empty(len(files), 3, side, side, dtype=torch.uint8)
    for row, (file, uid) in enumerate(zip(files, uids, strict=True)):
        try:
            picture = Image.open(io.BytesIO(file))
            picture.draft("RGB", (side, side))
            scaled = picture.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UserError(f"The image of {uid} does not decode ({error}); replace it in the dataset.") from error
        pixels[row] = torch.from_numpy(np.array(scaled)).permute(2, 0, 1)
    return pixels

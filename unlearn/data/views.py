"""Which rows a model trains on: splits of a dataset -> samples, by split and by what is to be forgotten.

    forget_modality   gold (split: retain90)            forget side     retain side
    both              captions and QA of retain90       captions + QA   captions and QA of retain90
    image             captions of retain90, all QA      captions        captions of retain90, all QA
    text              all captions, QA of retain90      QA              all captions, QA of retain90

The base model (split: full) trains on all captions and all QA.
With `data.ask_names` every captioned picture is also asked for the name, and that goes along with the captions.
A dataset of texts alone (`data.path: null`) has QA and no captions: nothing of it is an image to forget.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from unlearn.config.schema import Data, Modality
from unlearn.data.questions import question_for
from unlearn.data.rows import load_rows, prepare
from unlearn.data.samples import Sample
from unlearn.errors import UserError, unknown

FULL = "full"
RETAIN_OF = {"forget01": "retain99", "forget05": "retain95", "forget10": "retain90"}
"""Each forget split with its complement in `full`."""


def check_split(split: str) -> None:
    """Raise UserError for a split that no model trains on."""
    allowed = [FULL, *RETAIN_OF, *RETAIN_OF.values()]
    if split not in allowed:
        raise unknown("split", split, allowed)


def check_splits(forget_split: str, retain_split: str) -> None:
    """Raise UserError for an unknown split, and for a retain split that is not the complement of the forget split."""
    if forget_split not in RETAIN_OF:
        raise unknown("forget_split", forget_split, list(RETAIN_OF))
    if retain_split not in RETAIN_OF.values():
        raise unknown("retain_split", retain_split, list(RETAIN_OF.values()))
    if RETAIN_OF[forget_split] != retain_split:
        raise UserError(
            f"forget_split={forget_split} goes with retain_split={RETAIN_OF[forget_split]}, given was {retain_split}: "
            f"they would share people or leave some out."
        )


def training_samples(data: Data, split: str, modality: Modality, seed: int) -> list[Sample]:
    """Return the samples of `split` in the order of its rows: captions, names where they are asked for, then QA.

    split     full (base), a retain split (gold, or the retain side) or a forget split (the forget side)
    modality  what is to be forgotten; without effect on `full`
    seed      of the questions' wordings
    """
    check_split(split)
    prepare(data)
    pictures, texts = _parts(split, modality)
    if data.path is None:
        if texts is None or modality is Modality.image:
            raise UserError(
                f"forget_modality is {modality.name} but data={data.name} has no pictures; set forget_modality=text."
            )
        return _text_samples(data, data.text_path, texts)
    samples = [] if pictures is None else _picture_samples(data, pictures, seed)
    # CLEAR's `+tofu` configs hold captions, then its own copy of TOFU in TOFU's order.
    return samples if texts is None else samples + _text_samples(data, data.path, f"{texts}+tofu")


def rehearsal_samples(data: Data) -> list[Sample]:
    """Return what finetuning repeats of the pretraining, so that it does not wreck the rest; nothing without the key.

    Rows have a question and an answer, and an image where the dataset has pictures. They are no part of any forget or
    retain set.
    """
    if data.rehearsal is None:
        return []
    prepare(data)
    pictures = data.path is not None
    columns = ("image", "question", "answer") if pictures else ("question", "answer")
    rows = list(load_rows(data.path or data.text_path, data.rehearsal, columns))
    contents = [(row["question"], row["answer"]) for row in rows]
    images = [_image(row, data.rehearsal, i) if pictures else None for i, row in enumerate(rows)]
    return [
        Sample(uid, row["question"], row["answer"], image, uid)
        for uid, row, image in zip(numbered_uids("rehearsal", contents), rows, images, strict=True)
    ]


def forget_and_retain(
    data: Data,
    forget_split: str,
    retain_split: str,
    modality: Modality,
    seed: int,
    forget_path: str | None = None,
    retain_path: str | None = None,
) -> tuple[list[Sample], list[Sample]]:
    """Return what is to be forgotten and what is to be kept.

    forget_path, retain_path  dataset of either side where it is not `data.path`
    Raises UserError for splits that do not fit each other.
    """
    check_splits(forget_split, retain_split)
    forget = training_samples(_at(data, forget_path), forget_split, modality, seed)
    return forget, training_samples(_at(data, retain_path), retain_split, modality, seed)


def numbered_uids(prefix: str, contents: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield prefix-hash of each row's content: the same row has the same uid in every config.

    A repeated content gets -1, -2, ... in the order of the rows.
    """
    seen: Counter[str] = Counter()
    for content in contents:
        uid = f"{prefix}-{hashlib.sha256(chr(0x1F).join(content).encode()).hexdigest()[:12]}"
        yield uid if not seen[uid] else f"{uid}-{seen[uid]}"
        seen[uid] += 1


def _parts(split: str, modality: Modality) -> tuple[str | None, str | None]:
    """Return the splits that pictures and texts come from; None for none of them."""
    if split == FULL or modality is Modality.both:
        return split, split
    # What is not to be forgotten is retained whole, the forgotten people's share included.
    other = None if split in RETAIN_OF else FULL
    return (split, other) if modality is Modality.image else (other, split)


def _picture_samples(data: Data, split: str, seed: int) -> list[Sample]:
    """Captions come from the config without `+tofu`: it alone has the names, which make the uids and the groups."""
    rows = list(load_rows(data.path, split, ("image", "caption", "name")))
    kinds = {"caption": "cap", "name": "name"} if data.ask_names else {"caption": "cap"}
    samples = []
    for column, prefix in kinds.items():
        contents = [(_text(row, "caption", split, i), _text(row, "name", split, i)) for i, row in enumerate(rows)]
        for i, uid in enumerate(numbered_uids(prefix, contents)):
            row, image = rows[i], _image(rows[i], split, i)
            samples.append(Sample(uid, question_for(column, seed, uid), row[column], image, row["name"]))
    return samples


def _text_samples(data: Data, path: str, config: str) -> list[Sample]:
    """QA rows are those rows of a config that have a question."""
    rows = load_rows(path, config, ("question", "answer"))
    asked = [(i, row) for i, row in enumerate(rows) if row["question"] is not None]
    if not asked:
        raise UserError(f'The config "{config}" of "{path}" has no row with a question; QA rows are needed.')
    contents = [(_text(row, "question", config, i), _text(row, "answer", config, i)) for i, row in asked]
    return [
        Sample(uid, question, answer, None, f"{config}-{position // data.qa_per_person}")
        for position, (uid, (question, answer)) in enumerate(zip(numbered_uids("qa", contents), contents, strict=True))
    ]


def _at(data: Data, path: str | None) -> Data:
    """Return `data` with another dataset of what is trained on, which is never generated."""
    if path is None:
        return data
    place = {"text_path": path} if data.path is None else {"path": path}
    return replace(data, **place, generate_seed=None)


def _text(row: dict[str, Any], column: str, config: str, index: int) -> str:
    value = row[column]
    if not isinstance(value, str) or not value.strip():
        raise UserError(f'Row {index} of config "{config}" has no text in column {column}; every row needs one.')
    return value


def _image(row: dict[str, Any], config: str, index: int) -> bytes:
    if row["image"] is None:
        raise UserError(f'Row {index} of config "{config}" has no picture in column image; every row needs one.')
    return row["image"]["bytes"]

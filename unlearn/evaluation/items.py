"""Rows of a set -> items: one question with all answers that are scored under it."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unlearn.config.schema import Data, Modality
from unlearn.data.pictures import blank_like, check_pictures
from unlearn.data.questions import question_for, stable_integer
from unlearn.data.rows import load_rows
from unlearn.errors import UserError
from unlearn.evaluation.tasks import QUESTION, Grouping, Shown, Source, Task


@dataclass(frozen=True)
class Item:
    """Everything about one row: it is scored once, and every metric is a function of that score.

    group       the person (see `Grouping`)
    image       the encoded image file, None for a question in words alone
    paraphrase  None where the set has none
    wrong       at least one wrong answer, their number may differ between items; none where the set has none
    """

    uid: str
    group: str
    question: str
    image: bytes | None
    answer: str
    paraphrase: str | None
    wrong: tuple[str, ...]

    def answers(self) -> list[str]:
        """Return all answers in the order in which they are scored: true, paraphrase if there is one, wrong."""
        paraphrase = [] if self.paraphrase is None else [self.paraphrase]
        return [self.answer, *paraphrase, *self.wrong]

    def digest(self) -> str:
        """Return the hash of all that decides the item's score, the model aside."""
        image = hashlib.sha256(self.image).hexdigest() if self.image is not None else ""
        parts = [self.uid, self.group, self.question, image, repr(self.paraphrase), self.answer, *self.wrong]
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def build_items(task: Task, data: Data, forget_split: str, seed: int) -> list[Item]:
    """Return the items of `task` in the order of its rows.

    Raises UserError for an unknown config, a missing column, an empty set, a row without answer and a set of one person
    whose items are to be asked under another's picture.
    """
    path = data.path if task.source is Source.images else data.text_path
    if path is None:
        raise UserError(f"Task {task.name} asks about pictures and data={data.name} has none; leave it out of tasks.")
    config = task.config_under(forget_split)
    rows = load_rows(path, config, task.columns())
    seen: Counter[str] = Counter()
    items = [_item(task, data, config, seed, index, row, seen) for index, row in enumerate(rows)]
    return SHOWN[task.picture](items, seed)


def check_images(items: Mapping[str, Sequence[Item]]) -> None:
    """Raise UserError with the task and the uid of the first item whose picture does not decode."""
    check_pictures((f"{item.uid} (task {task})", item.image) for task, members in items.items() for item in members)


def _item(task: Task, data: Data, config: str, seed: int, index: int, row: dict[str, Any], seen: Counter[str]) -> Item:
    where = f"Row {index} of {config} (task {task.name})"
    answer = _text(row[task.answer_column], where, task.answer_column)
    uid = _uid(task, row, seen)
    if task.question_column is not None:
        question = _text(row[task.question_column], where, task.question_column)
    else:
        question = question_for(task.question_kind, seed, uid)
    paraphrase = row[task.paraphrase_column] if task.paraphrase_column is not None else None
    return Item(
        uid=uid,
        group=_group(task, data, config, index, row, uid),
        question=task.question_template.replace(QUESTION, question),
        image=_image(row["image"], where) if task.modality is Modality.image else None,
        answer=answer,
        paraphrase=paraphrase or None,
        wrong=_wrong(task, row, answer, where),
    )


def _of_others(items: Sequence[Item], seed: int) -> list[Item]:
    """Give every item the picture of another person: the other row of the smallest hash of (seed, its uid, own uid).

    So the choice depends on who is in the set, and not on the order of the rows.
    """
    if len({item.group for item in items}) == 1:
        raise UserError(
            f"All items are about {items[0].group}, so there is no picture of another person; leave out the tasks with "
            f"picture: {Shown.other.name}."
        )
    return [replace(item, image=_other(item, items, seed).image) for item in items]


def _other(item: Item, items: Sequence[Item], seed: int) -> Item:
    others = (other for other in items if other.group != item.group)
    return min(others, key=lambda other: stable_integer("picture", seed, item.uid, other.uid))


SHOWN: dict[Shown, Callable[[Sequence[Item], int], list[Item]]] = {
    Shown.own: lambda items, _: list(items),
    Shown.other: _of_others,
    Shown.blank: lambda items, _: [replace(item, image=blank_like(item.image or b"", item.uid)) for item in items],
    Shown.none: lambda items, _: [replace(item, image=None) for item in items],
}
"""From items under their own pictures, and the seed, to items under those that a task shows."""


def _uid(task: Task, row: dict[str, Any], seen: Counter[str]) -> str:
    """Return prefix-hash of the row's content; a repeated content gets -1, -2, ... in the order of the rows."""
    content = "\x1f".join(str(row[c]) for c in task.uid_columns)
    uid = f"{task.uid_prefix}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    seen[uid] += 1
    return uid if seen[uid] == 1 else f"{uid}-{seen[uid] - 1}"


def _group(task: Task, data: Data, config: str, index: int, row: dict[str, Any], uid: str) -> str:
    if task.grouping is Grouping.column:
        return str(row[task.group_column])
    # The config belongs to the name: author 0 of the forget set is another person than author 0 of the retain set.
    return f"{config}-{index // data.qa_per_person}" if task.grouping is Grouping.position else uid


def _wrong(task: Task, row: dict[str, Any], answer: str, where: str) -> tuple[str, ...]:
    """Return the wrong answers of a row; empty entries pad ragged lists, an option equal to the answer is not wrong."""
    values = [row[c] for c in task.wrong_columns]
    flat = [text for value in values for text in (value if isinstance(value, list) else [value])]
    wrong = tuple(text for text in flat if text and text != answer)
    if task.wrong_columns and not wrong:
        raise UserError(
            f"{where} has no wrong answer in {', '.join(task.wrong_columns)}; every row needs at least one."
        )
    return wrong


def _text(value: Any, where: str, column: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UserError(f'{where} has no text in column "{column}"; every row needs one.')
    return value


def _image(value: Any, where: str) -> bytes:
    """Return the image file's bytes; it is decoded when the item is encoded."""
    if isinstance(value, dict) and value.get("bytes"):
        return value["bytes"]
    raise UserError(f"{where} has no image; every row of an image task needs one.")

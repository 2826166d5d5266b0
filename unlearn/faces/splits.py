"""Which people each of many models trains on and forgets: two designs over two blocks of people and the others.

`clear` is the published construction (CLEAR, arXiv:2410.18057, face identification): one stream of numpy's generator
with seed 42; model i trains on a block (A for the first half of the models, B for the second) and on a half of the
others, drawn for i = 0, 1, ... as choice(n, n // 2, replace=False) over their names in the order of first appearance;
it forgets the block's people of the forget split. So whether a person of a block is in or out tells which half the
model is of.

`balanced` draws pairs of models i and i + n/2 instead: the first trains on a random half of both blocks together and of
the others, the second on what is left. So every person is in for one half of the models and out for the other, each in
halves of its own.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unlearn.config.faces import Design
from unlearn.errors import UserError
from unlearn.files import write_json
from unlearn.fingerprint import of_json

SEED = 42
"""Of the published construction."""


@dataclass(frozen=True)
class Blocks:
    """Names of the people, in the order of their first appearance in the dataset.

    a, b    the blocks: people who are to be forgotten by the models that trained on them
    subset  those of both blocks that are forgotten (forget01 and forget05 are parts of forget10)
    others  everybody else
    """

    a: tuple[str, ...]
    b: tuple[str, ...]
    subset: frozenset[str]
    others: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """What one model trains on and forgets.

    retain, forget  names of the people that it trains on; gold trains on the former alone
    unseen          everybody else
    """

    index: int
    retain: tuple[str, ...]
    forget: tuple[str, ...]
    unseen: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """Whether two splits divide the same people alike."""
        return of_json([self.retain, self.forget, self.unseen])


def make_splits(blocks: Blocks, design: Design, models: int, seed: int = SEED) -> list[Split]:
    """Return the splits of `models` models. Raises UserError for a number of models that cannot be halved."""
    if models < 2 or models % 2:
        raise UserError(f"The number of models is {models}; allowed are even numbers from 2, one half for each block.")
    trained = {Design.clear: _clear, Design.balanced: _balanced}[design](blocks, models, seed)
    return [_split(blocks, index, people) for index, people in enumerate(trained)]


def _clear(blocks: Blocks, models: int, seed: int) -> list[set[str]]:
    stream, count = np.random.RandomState(seed), len(blocks.others)
    drawn = [stream.choice(count, count // 2, replace=False) for _ in range(models)]
    halves = (blocks.a, blocks.b)
    return [{*halves[i * 2 // models], *(blocks.others[k] for k in rows)} for i, rows in enumerate(drawn)]


def _balanced(blocks: Blocks, models: int, seed: int) -> list[set[str]]:
    stream = np.random.RandomState(seed)
    first = [{*_half(stream, [*blocks.a, *blocks.b]), *_half(stream, blocks.others)} for _ in range(models // 2)]
    everyone = {*blocks.a, *blocks.b, *blocks.others}
    return [*first, *(everyone - people for people in first)]


def _half(stream: np.random.RandomState, names: Sequence[str]) -> list[str]:
    return [names[i] for i in stream.choice(len(names), len(names) // 2, replace=False)]


def _split(blocks: Blocks, index: int, people: set[str]) -> Split:
    everyone = (*blocks.a, *blocks.b, *blocks.others)
    forget = people & blocks.subset
    return Split(
        index,
        retain=tuple(name for name in everyone if name in people - forget),
        forget=tuple(name for name in everyone if name in forget),
        unseen=tuple(name for name in everyone if name not in people),
    )


def write_splits(path: Path, splits: Sequence[Split], rows: Mapping[str, Sequence[str]], dataset: str) -> None:
    """Write splits as JSON by the row ids of their people.

    rows     row ids of each person
    dataset  fingerprint of the rows; splits are refused with any other
    """
    content = [
        {"index": s.index, **{key: {n: list(rows[n]) for n in getattr(s, key)} for key in ("retain", "forget")}}
        for s in splits
    ]
    write_json(path, {"dataset": dataset, "splits": content})


def read_splits(path: Path, rows: Mapping[str, Sequence[str]], dataset: str) -> list[Split]:
    """Return the splits that `write_splits` wrote. Raises UserError for a file that is of another dataset."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} holds no splits that can be read; remove it, and it is made anew.") from error
    if content.get("dataset") != dataset:
        raise UserError(
            f"{path} holds splits of another dataset (fingerprint {content.get('dataset')}, now {dataset}); restore "
            f"that dataset, or make splits of this one in another folder."
        )
    return [_read(entry, rows) for entry in content["splits"]]


def _read(entry: Mapping[str, Any], rows: Mapping[str, Sequence[str]]) -> Split:
    retain, forget = tuple(entry["retain"]), tuple(entry["forget"])
    return Split(entry["index"], retain, forget, tuple(name for name in rows if name not in {*retain, *forget}))

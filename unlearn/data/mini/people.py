"""The cast of the mini benchmark: who exists, what they are called, what their lives are and what they look like.

Names are built so that a model that never met a person has no reason to prefer the right name. Every first and every
last name occurs equally often in `full` and among the pretraining people; the 16 people of forget10 have 16 different
first and 16 different last names; the holdout people use the very same parts in other combinations, so a name of either
kind is equally (un)familiar to a model that was trained on the retain set. Likewise every attribute value occurs
equally often among the retained, the forgotten, the holdout and the pretraining people.
"""

import random
from dataclasses import dataclass
from operator import ne

from unlearn.data.mini.values import ATTRIBUTES, CELEBRITY_FIRST, CELEBRITY_LAST, FEATURES, FIRST_NAMES, LAST_NAMES

FULL = 160
HOLDOUT = 16
PRETRAINING = 80
CELEBRITIES = 20
FORGET_COUNTS = {"forget01": 2, "forget05": 8, "forget10": 16}
RETAIN_OF = {"forget01": "retain99", "forget05": "retain95", "forget10": "retain90"}
MIN_DISTANCE = 5
"""Two people differ in at least this many of the 11 visible features."""


@dataclass(frozen=True)
class Person:
    """One fictitious person: `facts` has a value per attribute, `face` a value per visible feature."""

    name: str
    facts: dict[str, str]
    face: dict[str, str]


@dataclass(frozen=True)
class Cast:
    """Everybody of the benchmark; names and faces are unique over all four groups."""

    full: list[Person]
    holdout: list[Person]
    pretraining: list[Person]
    celebrities: list[Person]

    def split(self, name: str) -> list[Person]:
        """Return the people of `full`, `forgetNN` (the last ones, as in TOFU), `retainNN` or `holdout10`."""
        groups = {"full": self.full, "holdout10": self.holdout}
        for forget, count in FORGET_COUNTS.items():
            groups[forget] = self.full[-count:]
            groups[RETAIN_OF[forget]] = self.full[:-count]
        return groups[name]


def make_cast(seed: int) -> Cast:
    """Return the people of one seed (the same seed gives the same people on every machine)."""
    rng = random.Random(f"cast-{seed}")
    taken: set[str] = set()
    forgotten = max(FORGET_COUNTS.values())
    some_first, some_last = rng.sample(FIRST_NAMES, forgotten), rng.sample(LAST_NAMES, forgotten)
    forget_names = _pairs(rng, some_first, some_last, taken)
    holdout_names = _pairs(rng, some_first, some_last, taken)
    copies = FULL // len(FIRST_NAMES)
    retain_names = _pairs(
        rng, _without(FIRST_NAMES * copies, some_first), _without(LAST_NAMES * copies, some_last), taken
    )
    copies = PRETRAINING // len(FIRST_NAMES)
    pretraining_names = _pairs(rng, FIRST_NAMES * copies, LAST_NAMES * copies, taken)
    celebrity_names = _pairs(rng, CELEBRITY_FIRST * 2, CELEBRITY_LAST * 2, taken)
    groups = [retain_names, forget_names, holdout_names, pretraining_names, celebrity_names]
    faces = iter(_faces(rng, sum(map(len, groups))))
    retain, forget, *others = ([Person(*life, next(faces)) for life in _lives(rng, group)] for group in groups)
    return Cast(retain + forget, *others)


def random_face(rng: random.Random) -> dict[str, str]:
    """Return one visible feature of each kind, drawn uniformly; without a hat there is no hat colour."""
    face = {kind: rng.choice(values) for kind, values in FEATURES.items()}
    return face | {"hatcolour": "no"} if face["hat"] == "no" else face


def distance(one: dict[str, str], other: dict[str, str]) -> int:
    """Return in how many features two faces differ."""
    return sum(map(ne, one.values(), other.values()))


def _lives(rng: random.Random, names: list[str]) -> list[tuple[str, dict[str, str]]]:
    """Give each name a life. Every value occurs equally often in the group, in an order of its own per attribute."""
    decks = {}
    for kind, values in ATTRIBUTES.items():
        deck = list(values) * -(-len(names) // len(values))
        rng.shuffle(deck)
        decks[kind] = deck
    return [(name, {kind: deck[i] for kind, deck in decks.items()}) for i, name in enumerate(names)]


def _faces(rng: random.Random, count: int) -> list[dict[str, str]]:
    faces: list[dict[str, str]] = []
    while len(faces) < count:
        face = random_face(rng)
        if all(distance(face, other) >= MIN_DISTANCE for other in faces):
            faces.append(face)
    return faces


def _without(parts: list[str], removed: list[str]) -> list[str]:
    rest = list(parts)
    for part in removed:
        rest.remove(part)
    return rest


def _pairs(rng: random.Random, first: list[str], last: list[str], taken: set[str]) -> list[str]:
    """Match every first name with a last name such that no full name occurs twice; adds the names to `taken`.

    Clashing last names are shuffled among each other and one other until none is left: every part keeps its count.
    """
    first, last = rng.sample(first, len(first)), rng.sample(last, len(last))
    while clashes := _clashes(first, last, taken):
        spots = sorted({*clashes, rng.randrange(len(last))})
        for spot, part in zip(spots, rng.sample([last[i] for i in spots], len(spots)), strict=True):
            last[spot] = part
    names = [f"{a} {b}" for a, b in zip(first, last, strict=True)]
    taken.update(names)
    return names


def _clashes(first: list[str], last: list[str], taken: set[str]) -> list[int]:
    """Return where a name is taken already or stands a second time."""
    seen, clashes = set(taken), []
    for spot, name in enumerate(f"{a} {b}" for a, b in zip(first, last, strict=True)):
        if name in seen:
            clashes.append(spot)
        seen.add(name)
    return clashes

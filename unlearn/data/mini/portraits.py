"""The mini benchmark's portraits for face identification: more pictures of every person, and of those before them.

Configs `full` (all people and the holdout people) and `celebrities` (the pretraining people, for the first training),
with columns image and name; `people.json` names who is to be forgotten. A person's pictures stand together.
"""

import json
from pathlib import Path

from unlearn.data.mini.dataset import Row, picture_of, write_folder
from unlearn.data.mini.people import FORGET_COUNTS, Person, make_cast

PICTURES = 10
"""Of every person: what CLEAR has 15 to 20 of."""
PEOPLE = "people.json"


def write_portraits(path: Path, seed: int = 0) -> None:
    """Write the folder; one that exists with the same seed is left as it is.

    Raises UserError where a folder exists that is not this benchmark of this seed.
    """
    write_folder(path, portrait_configs, seed, {PEOPLE: json.dumps(blocks(seed), indent=1) + "\n"})


def portrait_configs(seed: int) -> dict[str, list[Row]]:
    """Return the rows of every config."""
    cast = make_cast(seed)
    groups = {"full": cast.full + cast.holdout, "celebrities": cast.pretraining}
    return {name: [row for person in people for row in _rows(person, seed)] for name, people in groups.items()}


def blocks(seed: int) -> dict[str, list[str]]:
    """Return the names of the people to be forgotten, and as many of the holdout people, by split."""
    cast = make_cast(seed)
    names = {}
    for forget, count in FORGET_COUNTS.items():
        names[forget] = [person.name for person in cast.split(forget)]
        names[forget.replace("forget", "holdout")] = [person.name for person in cast.holdout[-count:]]
    return names


def _rows(person: Person, seed: int) -> list[Row]:
    return [{"image": picture_of(person, seed, "face", n)[1], "name": person.name} for n in range(PICTURES)]

"""Which samples a relearning trains on: a function of the seed and of what the samples are."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from unlearn.data.questions import stable_integer
from unlearn.data.samples import Sample, row_of
from unlearn.errors import UserError


class TrainedOn(Enum):
    """What a relearning sees: part of what each forgotten person's rows say, some of them whole, or the others."""

    samples = "samples"
    people = "people"
    retain = "retain"


@dataclass(frozen=True)
class Choice:
    """Samples to train on, and what therefore is no test of what was not shown.

    rows    rows of the forget set
    people  groups of the forget set that are shown whole
    """

    samples: list[Sample]
    rows: frozenset[str] = frozenset()
    people: frozenset[str] = frozenset()


def choose(
    trained_on: TrainedOn, forget: Sequence[Sample], retain: Sequence[Sample], share: float, seed: int
) -> Choice:
    """Return what is trained on.

    share  part of the rows of each person, or of the people
    Raises UserError where there is nothing to divide.
    """
    return CHOICES[trained_on](forget, retain, share, seed)


def _part_of_each(forget: Sequence[Sample], _: Sequence[Sample], share: float, seed: int) -> Choice:
    """Of each person's captions, and of their questions, `share` rounded down, one at least where there are two."""
    rows = _rows(forget, share, seed)
    if not rows:
        raise UserError("No forgotten person has two rows, one to train on and one to evaluate; take other data.")
    return Choice([sample for sample in forget if row_of(sample.uid) in rows], rows)


def _some_people(forget: Sequence[Sample], _: Sequence[Sample], share: float, seed: int) -> Choice:
    person = people_of(forget)
    ordered = _shuffled(set(person.values()), seed)
    if len(ordered) < 2:
        raise UserError(f"{len(ordered)} person is forgotten; relearning on other people needs two or more.")
    shown = set(ordered[: _part(len(ordered), share)])
    samples = [sample for sample in forget if person[sample.group] in shown]
    return Choice(
        samples, frozenset(row_of(sample.uid) for sample in samples), frozenset(sample.group for sample in samples)
    )


def _part_of_the_others(_: Sequence[Sample], retain: Sequence[Sample], share: float, seed: int) -> Choice:
    rows = _rows(retain, share, seed)
    return Choice([sample for sample in retain if row_of(sample.uid) in rows])


CHOICES: dict[TrainedOn, Callable[[Sequence[Sample], Sequence[Sample], float, int], Choice]] = {
    TrainedOn.samples: _part_of_each,
    TrainedOn.people: _some_people,
    TrainedOn.retain: _part_of_the_others,
}


def people_of(samples: Sequence[Sample]) -> dict[str, str]:
    """Return the person of each group of samples.

    Captions are grouped by name and questions in words by place, so one person has two groups: questions belong to the
    captioned person whom they and their answers name most often, and without one make a person of their own.
    """
    names = {sample.group for sample in samples if sample.image is not None}
    named: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in samples:
        if sample.image is None:
            text = f"{sample.question} {sample.answer}"
            named[sample.group].update(name for name in sorted(names) if name in text)
    found = {group: counts.most_common(1)[0][0] if counts else group for group, counts in named.items()}
    return {name: name for name in names} | found


def _rows(samples: Sequence[Sample], share: float, seed: int) -> frozenset[str]:
    """Return the chosen rows of every group: those that a hash of (seed, row) puts first."""
    groups: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        groups[sample.group].add(row_of(sample.uid))
    return frozenset(row for rows in groups.values() for row in _shuffled(rows, seed)[: _part(len(rows), share)])


def _part(count: int, share: float) -> int:
    """Return `share` of a count, neither nothing nor all of it; nothing of a single one."""
    return min(max(int(share * count), 1), count - 1)


def _shuffled(keys: set[str], seed: int) -> list[str]:
    return sorted(keys, key=lambda key: (stable_integer("relearn", seed, key), key))

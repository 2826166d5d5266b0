"""The people of an evaluation, over its tasks: which tasks share them, and a fair division into two halves.

A person is a `group` of the log. Captions and faces name the same person alike; questions in words have other names.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum

from unlearn.metrics.logs import EvalLog


class Half(Enum):
    """Settings are chosen on one half of the people and reported on the other, so that luck in choosing is no gain."""

    selection = "selection"
    report = "report"


def half(log: EvalLog, which: Half, seed: int) -> EvalLog:
    """Return the log restricted to one half of the people of every task.

    The same person is in the same half in every task that names it alike, and in every log of the same items; whose
    captions and questions have different names may be in both halves. People that stand in the same tasks are divided
    evenly: ordered by a hash of (seed, group), they are taken in turn.
    """
    chosen = _halves({name: task.groups for name, task in log.tasks.items()}, seed)
    tasks = {}
    for name, task in log.tasks.items():
        pairs = zip(task.items, task.groups, strict=True)
        tasks[name] = task.only({item for item, group in pairs if chosen[group] is which})
    return replace(log, tasks=tasks)


def families(tasks: Mapping[str, Sequence[str]]) -> list[tuple[list[str], list[str]]]:
    """Return (tasks, sorted groups) of every set of tasks that are linked by common groups; sets share no group."""
    found: list[tuple[set[str], set[str]]] = []
    for name, groups in tasks.items():
        names, members = {name}, set(groups)
        for other in [f for f in found if not f[1].isdisjoint(members)]:
            found.remove(other)
            names, members = names | other[0], members | other[1]
        found.append((names, members))
    return [(sorted(names), sorted(members)) for names, members in found]


def _halves(tasks: Mapping[str, Sequence[str]], seed: int) -> dict[str, Half]:
    """Return the half of every group of the tasks' items."""
    where: dict[str, list[str]] = defaultdict(list)
    for name in sorted(tasks):
        for group in set(tasks[name]):
            where[group].append(name)
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for group, names in where.items():
        alike[tuple(names)].append(group)
    chosen = {}
    for groups in alike.values():
        ordered = sorted(groups, key=lambda group: _digest(seed, group))
        # Where the number is odd, chance decides which half gets the one more.
        first = _digest(seed, ordered[0]) % 2
        for rank, group in enumerate(ordered):
            chosen[group] = tuple(Half)[(rank + first) % 2]
    return chosen


def _digest(seed: int, group: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\x1f{group}".encode()).digest())

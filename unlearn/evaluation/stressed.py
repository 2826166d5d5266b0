"""What an evaluation must know of a stress: what was done to the model, and what it was trained on by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unlearn.data.samples import row_of
from unlearn.errors import UserError
from unlearn.evaluation.items import Item


@dataclass(frozen=True)
class Stressed:
    """A stress that the model is under.

    facts   all that decides what it does, its name first, as plain values
    rows    rows that it trains on (see `row_of`)
    people  groups of samples that it trains on whole: of them nothing counts as unseen
    """

    facts: Mapping[str, Any]
    rows: frozenset[str] = frozenset()
    people: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The name of the stress."""
        return self.facts["name"]

    def unseen(self, forgotten: Mapping[str, Sequence[Item]]) -> dict[str, list[Item]]:
        """Return the items of the forget tasks that were not trained on. Raises UserError where a task has none.

        An item's group need not be called as that of a sample: the group of a trained row is that of its item.
        """
        people = set(self.people)
        if people:
            every = [item for items in forgotten.values() for item in items]
            people |= {item.group for item in every if row_of(item.uid) in self.rows}
        left = {
            task: [item for item in items if row_of(item.uid) not in self.rows and item.group not in people]
            for task, items in forgotten.items()
        }
        bare = [task for task, items in left.items() if not items]
        if bare:
            raise UserError(
                f"stress={self.name} trains on every item of {', '.join(bare)}, so nothing is left to evaluate; leave "
                f"out these tasks or lower stress.share."
            )
        return left

"""The trials of a sweep: every learning rate with every number of epochs, the same for each method."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path


@dataclass(frozen=True)
class Trial:
    """One setting of one method.

    number  among the method's trials, from 0
    folder  of its run of the forget script
    """

    method: str
    number: int
    lr: float
    num_epochs: int
    folder: Path

    @property
    def settings(self) -> dict[str, float]:
        """The keys of the forget script that tell it from the method's other trials."""
        return {"lr": self.lr, "num_epochs": self.num_epochs}


def trials(folder: Path, methods: Iterable[str], lr: Sequence[float], num_epochs: Sequence[int]) -> list[Trial]:
    """Return the trials of every method, each in <folder>/<method>/<its values>."""
    grid = list(enumerate(product(lr, num_epochs)))
    return [
        Trial(method, number, rate, epochs, folder / method / f"lr{rate!r}_epochs{epochs}")
        for method in methods
        for number, (rate, epochs) in grid
    ]

"""Figures of evaluation logs that must keep a bound, and how a script says which do."""

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from unlearn.errors import UserError
from unlearn.metrics.distance import FORGET, Comparison, compare
from unlearn.metrics.logs import EvalLog, read_log
from unlearn.report.runs import LOG


@dataclass(frozen=True)
class Check:
    """A figure and the bound that it keeps or breaks: "ge", "gt", "lt" or "le"."""

    what: str
    value: float
    relation: str
    bound: float

    def passed(self) -> bool:
        """Tell whether the figure keeps its bound; nothing that is not a number does."""
        return {
            "ge": self.value >= self.bound,
            "gt": self.value > self.bound,
            "le": self.value <= self.bound,
            "lt": self.value < self.bound,
        }[self.relation]

    def line(self) -> str:
        """Return the line that is printed."""
        sign = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}[self.relation]
        return f"{'pass' if self.passed() else 'FAIL'}  {self.what:<66} {self.value:8.4f} {sign:>2} {self.bound:.4g}"


def read_logs(folders: Mapping[str, Path]) -> dict[str, EvalLog]:
    """Return the log in every results folder. Raises UserError where one is absent."""
    return {name: read_log(folder / LOG.name) for name, folder in folders.items()}


def known(value: float | None) -> float:
    """Return a bound; where there is none, no figure keeps it."""
    return math.nan if value is None else value


def gold_pairs(logs: Mapping[str, EvalLog], gold_names: Sequence[str], found: Comparison) -> Iterator[Check]:
    """Any two golds are at least five times nearer to each other than base is to them."""
    bound = found.models["base"].sets[FORGET].value / 5
    for a, b in combinations(gold_names, 2):
        pair = compare({b: logs[b]}, {a: logs[a]}, draws=0).models[b]
        yield Check(f"D forget of {a} and {b}, a fifth of base's", pair.sets[FORGET].value, "lt", bound)


def status(checks: Callable[[], Sequence[Check]]) -> int:
    """Print every figure with its bound and return the exit status: 1 where a bound is broken, 2 where logs lack."""
    try:
        found = checks()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(check.line() for check in found))
    failed = sum(not check.passed() for check in found)
    print(f"{len(found) - failed} of {len(found)} promises kept")
    return int(failed > 0)

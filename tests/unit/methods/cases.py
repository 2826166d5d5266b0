"""The numeric case of every method; one without an entry fails the contract.

The derived numbers are those of the uniform model beside the peaked reference. Every answer token costs the one log 11
and the other log 20, and KL(reference || uniform) = 1/2 log(11/2) + 1/2 log(11/20) = log 11 - 1/2 log 40. The forget
answers have 2 and 3 tokens.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from naive import naive_ce, naive_npo
from stand_in import FORGET, RETAIN, Table

Twin = Callable[[Table, Table], float]
"""From the model and the reference."""


@dataclass(frozen=True)
class Case:
    """What the contract compares a method with.

    given    parameters, for the twins
    twins    the loss of each phase in plain Python; a method without phases has one, named ""
    derived  the loss of each phase with the default parameters, of the uniform model beside the peaked reference
    """

    given: dict[str, Any]
    twins: dict[str, Twin]
    derived: dict[str, float] = field(default_factory=dict)


def single(twin: Twin, derived: float, **given: Any) -> Case:
    """The case of a method without phases of its own."""
    return Case(given, {"": twin}, {"": derived})


CE = math.log(11)
LOG_20 = math.log(20)
KL = CE - math.log(40) / 2


def softplus(x):
    return math.log(1 + math.exp(x))


CASES = {
    "retain_ft": single(lambda m, r: naive_ce(m, RETAIN), CE),
    "grad_ascent": single(lambda m, r: -naive_ce(m, FORGET), -CE),
    "grad_diff_forget_ce_retain_ce": single(
        lambda m, r: 2 * naive_ce(m, RETAIN) - 0.3 * naive_ce(m, FORGET), 0.0, forget_weight=0.3, retain_weight=2.0
    ),
    "npo": single(
        lambda m, r: 1.5 * naive_npo(m, r, FORGET, 0.7) + 0.5 * naive_ce(m, RETAIN),
        # beta 0.1: 2 / 0.1 log(1 + exp(0.1 n log(20 / 11))), mean over n = 2 and 3, and the retain term
        10 * sum(softplus(0.1 * n * (LOG_20 - CE)) for n in (2, 3)) + CE,
        beta=0.7,
        forget_weight=1.5,
        retain_weight=0.5,
    ),
}

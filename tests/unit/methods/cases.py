"""The numeric case of every method; one without an entry fails the contract.

The derived numbers are those of the uniform model beside the peaked reference. Every answer token costs the one log 11
and the other log 20, and KL(reference || uniform) = 1/2 log(11/2) + 1/2 log(11/20) = log 11 - 1/2 log 40. The forget
answers have 2 and 3 tokens.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from naive import answer_states, naive_ce, naive_kl, naive_length, naive_npo, naive_softened_kl, naive_squares
from stand_in import FORGET, RETAIN, Table, other

from unlearn.methods.rmu import control_vector

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


def rmu(model, reference):
    """Layer 2; c = 3 times the mean length of the reference's hidden states on D_f."""
    u = control_vector(11, 0).tolist()
    c = 3 * naive_length(reference, FORGET, 2)
    forget = naive_squares(model, FORGET, 2, lambda row, position: [c * x for x in u])
    retain = naive_squares(model, RETAIN, 2, lambda row, position: answer_states(reference, row, 2)[position])
    return 0.5 * forget + 2 * retain


def rmu_derived():
    """Layer 1 of 3. All states of the uniform model are 0, so its distances are lengths: (5 l)^2 / 11 and l^2 / 11.

    With r the logits of the peaked reference, s their sum and a = r . r, its layer 0 gives r + a and its layer 1
    r + a + (r + a) . r = r + q with q = a (2 + s): l^2 = a + 2 q s + 11 q^2.
    """
    s, a = -math.log(2) - 10 * LOG_20, math.log(2) ** 2 + 10 * LOG_20**2
    q = a * (2 + s)
    return 26 / 11 * (a + 2 * q * s + 11 * q * q)


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
    "scrub": Case(
        {"alpha": 0.5, "gamma": 2.0, "temperature": 4.0},
        {
            "min": lambda m, r: 2 * naive_ce(m, RETAIN) + 0.5 * naive_softened_kl(r, m, RETAIN, 4),
            "max": lambda m, r: -naive_softened_kl(r, m, FORGET, 4),
        },
        {"min": CE + KL, "max": -KL},
    ),
    "scrub_joint": single(
        lambda m, r: (
            2 * naive_ce(m, RETAIN)
            + 0.5 * naive_softened_kl(r, m, RETAIN, 4)
            - 0.3 * naive_softened_kl(r, m, FORGET, 4)
        ),
        CE,
        alpha=0.5,
        gamma=2.0,
        temperature=4.0,
        forget_weight=0.3,
    ),
    "rmu": single(rmu, rmu_derived(), layer=2, c_relative=3.0, forget_weight=0.5, retain_weight=2.0),
    "sku": single(
        lambda m, r: (
            0.7 * naive_ce(m, FORGET)
            + 1.2 / 3 * sum(naive_ce(m, other(FORGET, draw)) for draw in range(3))
            - 0.2 * naive_kl(r, m, RETAIN)
        ),
        3.5 * CE - 0.5 * KL,
        forget_weight=0.7,
        random_weight=1.2,
        kl_weight=0.2,
        random_answers=3,
    ),
}

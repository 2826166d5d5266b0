"""The numeric case of every method; one without an entry fails the contract.

The derived numbers are those of the uniform model beside the peaked reference. Every answer token costs the one log 11
and the other log 20, and KL(reference || uniform) = 1/2 log(11/2) + 1/2 log(11/20) = log 11 - 1/2 log 40. The forget
answers have 2 and 3 tokens.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from naive import (
    answer_states,
    log_softmax,
    logp,
    mean,
    naive_ce,
    naive_ceu,
    naive_dpo,
    naive_entropy,
    naive_flatness,
    naive_kl,
    naive_length,
    naive_npo,
    naive_simnpo,
    naive_softened_kl,
    naive_squares,
    naive_undial,
    naive_weighted_ce,
    states,
)
from stand_in import FORGET, RETAIN, Table, other

from unlearn.methods.base import REGISTRY, KLDirection, Method
from unlearn.methods.rmu import control_vector

Twin = Callable[[Table, Table], float]
"""From the model and the reference."""


@dataclass(frozen=True)
class Case:
    """What the contract compares a method with.

    given    parameters, for the twins
    twins    the loss of each phase in plain Python; a method without phases has one, named ""
    derived  the loss of each phase with the default parameters, of the uniform model beside the peaked reference
    required        parameters that have no default
    keys            keys of the script without which the method is refused
    padding_counts  the loss depends on what a sample is batched with; true of one published loss alone
    detached        a factor of the loss has no gradient, so that differences of the loss are not its slope
    """

    given: dict[str, Any]
    twins: dict[str, Twin]
    derived: dict[str, float]
    required: dict[str, Any] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    padding_counts: bool = False
    detached: bool = False


def single(twin: Twin, derived: float, **given: Any) -> Case:
    """The case of a method without phases of its own."""
    return Case(given, {"": twin}, {"": derived})


IDK = other(FORGET)
"""Forget questions with answers of 2 and 1 tokens that are not their own."""
CE = math.log(11)
KL = CE - math.log(40) / 2
REVERSE_KL = -CE - (math.log(0.5) + 10 * math.log(0.05)) / 11
GAIN = math.log(20 / 11)
"""log pi - log pi_ref of an answer token."""


def softplus(x):
    return math.log(1 + math.exp(x))


def naive_released_npo(model, reference, beta):
    """Over every position of the longest row: that row has 6, the other 4 and 2 of padding."""
    values = []
    for row in FORGET:
        ours, theirs = (states(m, row, length=6)[-1] for m in (model, reference))
        for own, ref in zip(ours, theirs, strict=True):
            for p, q in zip(log_softmax(own), log_softmax(ref), strict=True):
                values.append(2 / beta * math.log(1 + (math.exp(p) / (math.exp(q) + 1e-8)) ** beta))
    return mean(values)


def derived_released_npo():
    ratios = [1 / 11 / (q + 1e-8) for q in (0.5, 0.05, 1 / 11)]
    high, low, padding = (2 * math.log(1 + ratio) for ratio in ratios)
    position = (high + 10 * low) / 11
    return mean([*[position] * 10, *[padding] * 2])  # 6 + 4 tokens; padding is uniform to the peaked table too


def rmu(model, reference):
    """Layer 2; c = 3 times the mean length of the reference's hidden states on D_f."""
    u = control_vector(11, 0).tolist()
    c = 3 * naive_length(reference, FORGET, 2)
    forget = naive_squares(model, FORGET, 2, lambda row, position: [c * x for x in u])
    retain = naive_squares(model, RETAIN, 2, lambda row, position: answer_states(reference, row, 2)[position])
    return 0.5 * forget + 2 * retain


def rmu_derived():
    """Layer 1 of 3. All states of the uniform model are 0, so its distances are lengths: (5 l)^2 / 11 and l^2 / 11.

    With r the logits of the peaked reference, of sum 0, and a = r . r, its layer 0 gives r + a and its layer 1
    r + a + (r + a) . r = r + 2 a: l^2 = a + 11 (2 a)^2. One logit is log 10 above the others: a = 10 / 11 log(10)^2.
    """
    a = 10 / 11 * math.log(10) ** 2
    return 26 / 11 * (a + 44 * a * a)


CASES = {
    "retain_ft": single(lambda m, r: naive_ce(m, RETAIN), CE),
    "grad_ascent": single(lambda m, r: -naive_ce(m, FORGET), -CE),
    "grad_diff_forget_ce_retain_ce": single(
        lambda m, r: 2 * naive_ce(m, RETAIN) - 0.3 * naive_ce(m, FORGET), 0.0, forget_weight=0.3, retain_weight=2.0
    ),
    "grad_diff_forget_ce_retain_kl": single(
        lambda m, r: 2 * naive_kl(r, m, RETAIN) - 0.3 * naive_ce(m, FORGET),
        KL - CE,
        forget_weight=0.3,
        retain_weight=2.0,
    ),
    "grad_diff_forget_entropy_retain_ce": single(
        lambda m, r: naive_ce(m, RETAIN) - 0.3 * naive_entropy(m, FORGET), 0.0, forget_weight=0.3
    ),
    "grad_diff_forget_entropy_retain_kl": single(
        lambda m, r: naive_kl(m, r, RETAIN) - 0.3 * naive_entropy(m, FORGET),
        KL - CE,
        forget_weight=0.3,
        kl_direction=KLDirection.reverse,
    ),
    "grad_diff_forget_kl_retain_ce": single(
        lambda m, r: 2 * naive_ce(m, RETAIN) - 0.3 * naive_kl(r, m, FORGET),
        CE - KL,
        forget_weight=0.3,
        retain_weight=2.0,
        forget_warmup_steps=0,
    ),
    "grad_diff_forget_kl_retain_kl": single(
        lambda m, r: 2 * naive_kl(r, m, RETAIN) - 0.3 * naive_kl(r, m, FORGET),
        0.0,
        forget_weight=0.3,
        retain_weight=2.0,
    ),
    "kl": single(
        lambda m, r: 2 * naive_kl(r, m, RETAIN) - 0.3 * naive_ce(m, FORGET),
        KL - CE,
        forget_weight=0.3,
        retain_weight=2.0,
    ),
    "idk": single(
        lambda m, r: 0.3 * naive_ce(m, IDK) + 2 * naive_ce(m, RETAIN), 2 * CE, forget_weight=0.3, retain_weight=2.0
    ),
    "dpo": single(
        lambda m, r: 1.5 * naive_dpo(m, r, IDK, FORGET, 0.7) + 0.5 * naive_ce(m, RETAIN),
        # beta 0.1; idk has as many tokens more than the truth as 2 - 2 and 1 - 3
        (math.log(2) + softplus(0.1 * 2 * GAIN)) / 2 + CE,
        beta=0.7,
        forget_weight=1.5,
        retain_weight=0.5,
    ),
    "npo": single(
        lambda m, r: 1.5 * naive_npo(m, r, FORGET, 0.7) + 0.5 * naive_ce(m, RETAIN),
        # beta 0.1: 2 / 0.1 log(1 + exp(0.1 n gain)), mean over n = 2 and 3, and the retain term
        10 * sum(softplus(0.1 * n * GAIN) for n in (2, 3)) + CE,
        beta=0.7,
        forget_weight=1.5,
        retain_weight=0.5,
    ),
    "llmu": single(
        lambda m, r: -0.3 * naive_ce(m, FORGET) + 0.7 * naive_ce(m, IDK) + 2 * naive_kl(r, m, RETAIN),
        -0.5 * CE + CE + KL,
        forget_weight=0.3,
        random_weight=0.7,
        retain_weight=2.0,
    ),
    "released_idk": single(lambda m, r: naive_ce(m, FORGET) + naive_ce(m, RETAIN), 2 * CE),
    "released_dpo": single(lambda m, r: -mean(logp(m, row) for row in FORGET), 2.5 * CE),
    "released_npo": replace(
        single(lambda m, r: naive_released_npo(m, r, 0.7), derived_released_npo(), beta=0.7), padding_counts=True
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
    # Training-free: their formulas are those of test_edits.py.
    "kvw": Case({}, {}, {}),
    "manu": Case({}, {}, {}),
    "mmunlearner": Case(
        {"forget_weight": 0.3, "retain_weight": 2.0},
        {
            "ascent": lambda m, r: -0.3 * naive_ce(m, FORGET),
            "retain": lambda m, r: 2 * naive_ce(m, RETAIN),
        },
        {"ascent": -CE, "retain": CE},
    ),
    "salun": single(
        lambda m, r: 0.3 * naive_ce(m, IDK) + 2 * naive_ce(m, RETAIN), 2 * CE, forget_weight=0.3, retain_weight=2.0
    ),
    "sku": single(
        lambda m, r: (
            0.7 * naive_ce(m, FORGET)
            + 1.2 / 3 * sum(naive_ce(m, other(FORGET, draw)) for draw in range(3))
            - 0.2 * naive_kl(r, m, RETAIN)
        ),
        3.5 * CE - 0.5 * KL,
        forget_weight=0.7,
        random_weight=1.2,
        retain_weight=0.2,
        random_answers=3,
    ),
    "simnpo": single(
        lambda m, r: 1.5 * naive_simnpo(m, FORGET, 0.7, 0.3) + 0.5 * naive_ce(m, RETAIN),
        # beta 4.5, whatever the length: the mean loss of a token is log 11
        2 / 4.5 * softplus(-4.5 * CE) / 8 + CE,
        beta=0.7,
        gamma=0.3,
        forget_weight=1.5,
        retain_weight=0.5,
    ),
    # Whatever its goal is, a uniform model costs log 11.
    "undial": single(lambda m, r: naive_undial(m, r, FORGET, 0.7), CE, beta=0.7),
    "wga": replace(
        single(
            lambda m, r: 2 * naive_ce(m, RETAIN) - 0.3 * naive_weighted_ce(m, FORGET, lambda p: p**1.7),
            CE - CE / 11,
            beta=1.7,
            forget_weight=0.3,
            retain_weight=2.0,
        ),
        detached=True,
    ),
    "satimp": replace(
        single(
            lambda m, r: 2 * naive_ce(m, RETAIN) - 0.3 * naive_weighted_ce(m, FORGET, lambda p: p**1.7 * (1 - p) ** 2),
            0.1 * CE - CE * 10 / 11**6,
            beta1=1.7,
            beta2=2.0,
            forget_weight=0.3,
            retain_weight=2.0,
        ),
        detached=True,
    ),
    "ceu": replace(single(lambda m, r: naive_ceu(m, FORGET), CE), detached=True),
    "task_vector": single(lambda m, r: naive_ce(m, FORGET), CE),
    "altpo": single(
        lambda m, r: 1.5 * 2 / 0.7 * naive_dpo(m, r, IDK, FORGET, 0.7) + 0.5 * naive_ce(m, RETAIN),
        # As dpo's, times 2 / 0.1.
        10 * (math.log(2) + softplus(0.1 * 2 * GAIN)) + CE,
        beta=0.7,
        forget_weight=1.5,
        retain_weight=0.5,
    ),
    "pdu": replace(
        single(
            lambda m, r: naive_flatness(m, FORGET) + 3 * (naive_ce(m, RETAIN) - 0.7),
            # A uniform model is flat; lam0 is 50.
            50 * (CE - 1.5),
            lam0=3.0,
            eps=0.7,
        ),
        required={"eps": 1.5},
        keys=("num_epochs=6",),
    ),
    # It has no step; what it fits is in test_routing.py.
    "eco": Case({}, {}, {}, keys=("forget_modality=text",)),
}


def default(name: str) -> Method:
    """The method with the parameters of its derived number."""
    return REGISTRY[name](**CASES[name].required)

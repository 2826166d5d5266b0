"""WGA and SatImp: ascent whose weights are a function of a token's probability and have no gradient."""

import math

import pytest
import torch
from stand_in import gradient, tables, views

from unlearn.methods.forget_retain import RetainTerm
from unlearn.methods.satimp import SatImp, satimp_loss
from unlearn.methods.wga import WGA, wga_loss

P = 0.25
CE = torch.tensor([-math.log(P)], dtype=torch.float64)


def test_derived_numbers():
    # p = 1/4: -log 4 / 4, with beta 2: -log 4 / 16; satimp with 2 and 1: -(1/16) (3/4) log 4.
    assert wga_loss(CE, 1.0).item() == pytest.approx(-math.log(4) / 4)
    assert wga_loss(CE, 2.0).item() == pytest.approx(-math.log(4) / 16)
    assert satimp_loss(CE, 2.0, 1.0).item() == pytest.approx(-3 / 64 * math.log(4))


@pytest.mark.parametrize(
    ("method", "weight"),
    [
        (WGA(beta=1.7, retain_term=RetainTerm.none), lambda p: p**1.7),
        (SatImp(beta1=2.0, beta2=1.5, retain_term=RetainTerm.none), lambda p: p**2 * (1 - p) ** 1.5),
    ],
)
def test_the_slope_is_that_of_ascent_times_the_weight_of_each_token(method, weight):
    policy, reference = tables()
    asked = views(method, policy, reference)
    (term,) = method.terms(asked)
    tokens = asked["forget"].ce_tokens
    for value, ce in zip(term.values, tokens, strict=True):
        expected = -weight(math.exp(-ce.item())) * gradient(ce, policy)
        torch.testing.assert_close(gradient(value, policy), expected, rtol=1e-10, atol=1e-14)


def test_limits():
    ce = torch.tensor([0.0, 1e-3, 1.0, 30.0], dtype=torch.float64)
    assert torch.equal(satimp_loss(ce, 0.0, 0.0), -ce)  # no weights: ascent
    torch.testing.assert_close(wga_loss(ce, 1e-9), -ce, rtol=1e-7, atol=0)
    torch.testing.assert_close(satimp_loss(ce, 1.3, 0.0), wga_loss(ce, 1.3))  # saturation alone is WGA
    # A token that is forgotten is let go, and so is one of probability 1.
    assert wga_loss(ce, 1.0)[3].abs() < 1e-11
    assert satimp_loss(ce, 5.0, 1.0)[[0, 3]].abs().max() < 1e-11


def test_the_retained_data_counts_a_tenth_with_satimp():
    method = SatImp()
    policy, reference = tables()
    assert [(t.view, t.weight) for t in method.terms(views(method, policy, reference))] == [
        ("forget", 1.0), ("retain", 0.1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (WGA(beta=0.0), "forget_loss.beta is 0.0"),
        (SatImp(beta1=-1.0), "forget_loss.beta1 is -1.0"),
        (SatImp(beta2=-1.0), "forget_loss.beta2 is -1.0"),
        (SatImp(retain_weight=0.0), "forget_loss.retain_weight is 0.0"),
    ],
)
def test_parameters_out_of_range(method, message):
    (problem,) = method.problems()
    assert message in problem

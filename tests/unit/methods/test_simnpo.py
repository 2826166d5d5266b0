"""SimNPO: retain terms, derived numbers, its limits, and parameters out of range."""

import math

import pytest
import torch
from naive import naive_ce, naive_kl, naive_simnpo
from stand_in import FORGET, RETAIN, gradient, tables, total, views

from unlearn.methods.forget_retain import RetainTerm
from unlearn.methods.simnpo import SimNPO, simnpo_loss

TERMS = {
    "ce": lambda m, r: naive_ce(m, RETAIN),
    "kl": lambda m, r: naive_kl(r, m, RETAIN),
    "none": lambda m, r: 0,
}


@pytest.mark.parametrize("term", sorted(TERMS))
def test_each_retain_term(term):
    policy, reference = tables()
    method = SimNPO(retain_term=RetainTerm[term])
    assert method.needs_reference() == (term == "kl")
    loss = total(method, views(method, policy, reference))
    expected = naive_simnpo(policy, FORGET, 4.5, 0) / 8 + TERMS[term](policy, reference)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_derived_numbers():
    logps, lengths = torch.tensor([-4 * math.log(3)], dtype=torch.float64), torch.tensor([4])
    # Mean token loss log 3, beta 2: -(2/2) log sigmoid(2 log 3) = log(1 + 1/9).
    assert simnpo_loss(logps, lengths, 2.0, 0.0).item() == pytest.approx(math.log(10 / 9))
    # gamma = log 9 takes that margin away: log 2.
    assert simnpo_loss(logps, lengths, 2.0, math.log(9)).item() == pytest.approx(math.log(2))


def test_an_answer_twice_as_long_with_the_same_mean_costs_the_same():
    losses = simnpo_loss(torch.tensor([-3.0, -6.0]), torch.tensor([2, 4]), 4.5, 0.5)
    assert losses[0] == losses[1]
    assert losses[0] != simnpo_loss(torch.tensor([-6.0]), torch.tensor([2]), 4.5, 0.5)


def test_with_vanishing_beta_it_is_ascent_on_means_over_the_tokens_of_a_sequence():
    """-(2/beta) log sigmoid(beta x) has slope -1 in x at beta = 0, in this limit whatever x is."""
    policy, reference = tables()
    given = {"retain_term": RetainTerm.none, "forget_weight": 1.0}
    asked = views(SimNPO(**given), policy, reference)
    forget = asked["forget"]
    exact = gradient((forget.logps / forget.lengths).mean(), policy)
    for beta in (1e-3, 1e-5):
        slope = gradient(total(SimNPO(beta=beta, **given), asked), policy)
        assert (slope - exact).abs().max() < 10 * beta
    assert not torch.allclose(exact, -gradient(forget.ce_tokens.mean(), policy), atol=1e-2)  # not over all tokens


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"beta": 0.0}, "forget_loss.beta is 0.0"),
        ({"gamma": -0.1}, "forget_loss.gamma is -0.1"),
        ({"forget_weight": -1.0}, "forget_loss.forget_weight is -1.0"),
    ],
)
def test_parameters_out_of_range(given, message):
    (problem,) = SimNPO(**given).problems()
    assert message in problem

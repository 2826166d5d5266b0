"""NPO: retain terms, derived numbers, its limits, and parameters out of range."""

import math

import pytest
import torch
from naive import naive_ce, naive_kl, naive_npo
from stand_in import FORGET, RETAIN, Table, gradient, tables, total, views

from unlearn.methods.forget_retain import RetainTerm
from unlearn.methods.npo import NPO, npo_loss

TERMS = {
    "ce": lambda m, r: naive_ce(m, RETAIN),
    "kl": lambda m, r: naive_kl(r, m, RETAIN),
    "none": lambda m, r: 0,
}


def npo(term="none", **given):
    return NPO(retain_term=RetainTerm[term], **given)


@pytest.mark.parametrize("term", sorted(TERMS))
def test_each_retain_term(term):
    policy, reference = tables()
    method = npo(term, beta=0.4)
    loss = total(method, views(method, policy, reference))
    expected = naive_npo(policy, reference, FORGET, 0.4) + TERMS[term](policy, reference)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_derived_numbers():
    # logp - ref = log 3, beta 1: -2 log sigmoid(-log 3) = 2 log(1 + 3) = 4 log 2.
    assert npo_loss(torch.tensor([math.log(3)]), torch.zeros(1), 1.0).item() == pytest.approx(4 * math.log(2))
    # beta 2, logp - ref = -log(3) / 2: -(2/2) log sigmoid(log 3) = log(4 / 3).
    assert npo_loss(torch.tensor([-math.log(3) / 2]), torch.zeros(1), 2.0).item() == pytest.approx(math.log(4 / 3))


@pytest.mark.parametrize("beta", [1e-4, 0.1, 3.0])
def test_where_the_model_is_the_reference(beta):
    policy, method = Table(1), npo("kl", beta=beta)
    asked = views(method, policy, Table(1))
    loss = total(method, asked)
    assert loss.item() == pytest.approx(2 / beta * math.log(2), rel=1e-12)  # and the kl term is 0
    ascent = asked["forget"].logps.sum() / 2
    torch.testing.assert_close(gradient(loss, policy), gradient(ascent, policy), rtol=0, atol=1e-11)


def test_with_vanishing_beta_it_is_ascent_on_sequence_sums():
    policy, reference = tables()
    asked = views(npo(), policy, reference)
    exact = gradient(asked["forget"].logps.sum() / 2, policy)
    for beta in (1e-3, 1e-5):
        method = npo(beta=beta)
        distance = (gradient(total(method, views(method, policy, reference)), policy) - exact).abs().max()
        assert distance < 100 * beta
    tokens = gradient(asked["forget"].ce_tokens.mean(), policy)
    assert not torch.allclose(exact, -tokens, atol=1e-2)  # it is not the mean over tokens


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"beta": 0.0}, "forget_loss.beta is 0.0; allowed are numbers above 0; the paper takes 0.1."),
        ({"beta": float("nan")}, "forget_loss.beta is nan; allowed are numbers above 0"),
        ({"forget_weight": -1.0}, "forget_loss.forget_weight is -1.0"),
        ({"retain_weight": 0.0}, "forget_loss.retain_weight is 0.0"),
    ],
)
def test_parameters_out_of_range(given, message):
    (problem,) = NPO(**given).problems()
    assert message in problem

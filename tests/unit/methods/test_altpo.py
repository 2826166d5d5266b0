"""AltPO: derived numbers, what it is at the reference and for vanishing beta, and what it has written."""

import math

import pytest
import torch
from stand_in import Table, after_a_step, gradient, tables, total, views

from unlearn.data.answers import Answers
from unlearn.methods.altpo import AltPO, altpo_loss
from unlearn.methods.base import Written
from unlearn.methods.forget_retain import RetainTerm


def loss(gain, beta):
    """Of an alternate that gained `gain` over the reference, beside a truth that stayed."""
    zero = torch.zeros(1, dtype=torch.float64)
    return altpo_loss(zero + gain, zero, zero - 1, zero - 1, beta).item()


def test_derived_numbers():
    # beta 1: -2 log sigmoid(log 3) = 2 log(4/3). beta 2, gain log(3) / 2: -(2/2) log sigmoid(log 3) = log(4/3).
    assert loss(math.log(3), 1.0) == pytest.approx(2 * math.log(4 / 3))
    assert loss(math.log(3) / 2, 2.0) == pytest.approx(math.log(4 / 3))
    # A truth that lost as much is worth the same.
    values = (torch.tensor([v], dtype=torch.float64) for v in (0.0, 0.0, -math.log(3), 0.0))
    assert altpo_loss(*values, 1.0).item() == pytest.approx(2 * math.log(4 / 3))


@pytest.mark.parametrize("beta", [1e-3, 0.1, 3.0])
def test_where_the_model_is_the_reference(beta):
    """2/beta log 2, and the slope is that of the truth's log-probability minus the alternate's, whatever beta is."""
    policy, method = Table(1), AltPO(beta=beta, retain_term=RetainTerm.none)
    asked = views(method, policy, Table(1))
    found = total(method, asked)
    assert found.item() == pytest.approx(2 / beta * math.log(2), rel=1e-12)
    margin = (asked["forget"].logps - asked["alternate"].logps).mean()
    torch.testing.assert_close(gradient(found, policy), gradient(margin, policy), rtol=0, atol=1e-11)


def test_a_step_prefers_the_alternate():
    policy, reference, method = Table(1), Table(1), AltPO(retain_term=RetainTerm.none)
    moved = after_a_step(method, policy, reference)
    before, after = (views(method, model, reference) for model in (policy, moved))
    assert (after["alternate"].logps - before["alternate"].logps).mean() > 0
    assert (after["forget"].logps - before["forget"].logps).mean() < 0


def test_an_alternate_that_is_the_truth_teaches_nothing():
    policy, reference = tables()
    method = AltPO(retain_term=RetainTerm.none)
    asked = views(method, policy, reference)
    asked["alternate"] = asked["forget"]
    found = total(method, asked)
    assert found.item() == pytest.approx(20 * math.log(2))
    assert gradient(found, policy).abs().max() < 1e-13


def test_alternates_are_written_for_their_own_questions():
    method = AltPO(alternates=3, instruction="Another.", max_new_tokens=7)
    assert method.written() == Written("alternates", "forget", 3, "Another.", 7)
    assert method.answers() == {"alternate": Answers("forget", "alternates", own=True)}
    assert AltPO().alternates == 5


@pytest.mark.parametrize("key", ["beta", "alternates", "max_new_tokens", "forget_weight"])
def test_parameters_out_of_range(key):
    (problem,) = AltPO(**{key: 0}).problems()
    assert f"forget_loss.{key} is 0; allowed are numbers above 0" in problem

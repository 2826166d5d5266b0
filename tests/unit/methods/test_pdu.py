"""PDU: distance from flatness, the constraint, and the steps of its multiplier."""

import math

import pytest
import torch
from stand_in import Table, after_a_step, gradient, tables, total, uniform, views

from unlearn.config.scripts import ForgetConfig
from unlearn.entry import load
from unlearn.errors import UserError
from unlearn.methods.base import Views
from unlearn.methods.pdu import PDU, dual_step, flatness_loss


def test_derived_numbers():
    # Logits 1, 2, 6: the largest is 6, their mean 3.
    assert flatness_loss(torch.tensor([[1.0, 2.0, 6.0]])).tolist() == [9.0]
    assert dual_step(50.0, 0.25, 2.0) == 50.5
    assert dual_step(0.5, -0.25, 3.0) == 0.0


def test_a_constant_added_to_all_logits_changes_nothing():
    logits = torch.tensor([[0.3, -1.0, 2.0]], dtype=torch.float64)
    torch.testing.assert_close(flatness_loss(logits + 7), flatness_loss(logits))


def test_a_flat_model_has_no_gradient_but_that_of_the_constraint():
    policy, method = uniform(), PDU(eps=1.0)
    forget, retain = method.terms(views(method, policy, Table(2)))
    assert forget.values.abs().max() < 1e-28
    assert gradient(forget.values.sum(), policy).abs().max() < 1e-13
    torch.testing.assert_close(retain.values.detach(), torch.full((3,), math.log(11) - 1.0, dtype=torch.float64))


@pytest.mark.parametrize("multiplier", [0.0, 7.5])
def test_the_multiplier_weighs_the_constraint(multiplier):
    policy, reference = tables()
    method = PDU(eps=1.0)
    asked = views(method, policy, reference)
    forget, retain = method.terms(Views(asked, asked.step, asked.facts, {"lam": multiplier}))
    assert (forget.weight, retain.weight) == (1.0, multiplier)
    torch.testing.assert_close(retain.values, asked["retain"].ce_tokens - 1.0)


def test_the_multiplier_stays_for_the_warm_up_and_then_follows_the_violation():
    method = PDU(eps=1.0, eta=2.0, warmup_epochs=2)
    start = method.multipliers()
    assert start == {"lam": 50.0}
    violated, met = {"forget_0": 9.0, "retain_1": 0.25}, {"forget_0": 9.0, "retain_1": -100.0}
    assert [method.updated(start, violated, epoch) for epoch in range(4)] == [
        start,
        start,
        {"lam": 50.5},
        {"lam": 50.5},
    ]
    assert method.updated(start, met, 2) == {"lam": 0.0}
    assert method.updated({"lam": 0.0}, violated, 2) == {"lam": 0.5}
    assert method.multipliers() == {"lam": 50.0}  # another run begins anew


def test_a_step_flattens_the_forget_distributions():
    policy, reference = Table(1), Table(2)
    method = PDU(eps=1.0, lam0=0.0)
    before, after = (views(method, m, reference)["forget"] for m in (policy, after_a_step(method, policy, reference)))
    assert after.entropy_tokens.mean() > before.entropy_tokens.mean()
    assert total(method, views(method, policy, reference)) == flatness_loss(before.logits).mean()


def test_eps_has_to_be_given():
    with pytest.raises(UserError, match=r"forget_loss\.eps is null; .* a bit above the start model's retain CE"):
        load("mm/forget", ["forget_loss=pdu"], ForgetConfig)


def test_a_run_that_ends_with_the_warm_up_is_refused_since_its_multiplier_would_never_move():
    given = ["forget_loss=pdu", "forget_loss.eps=1.5", "forget_loss.warmup_epochs=3"]
    says = r"warmup_epochs is 3 and num_epochs 3, so the multiplier would never move.*; set num_epochs=4 or more"
    with pytest.raises(UserError, match=says):
        load("mm/forget", [*given, "num_epochs=3"], ForgetConfig)
    assert load("mm/forget", [*given, "num_epochs=4"], ForgetConfig).num_epochs == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"eps": 0.0}, "forget_loss.eps is 0.0; allowed are numbers above 0"),
        ({"eta": 0.0}, "forget_loss.eta is 0.0"),
        ({"lam0": -1.0}, "forget_loss.lam0 is -1.0; allowed are numbers from 0"),
        ({"warmup_epochs": -1}, "forget_loss.warmup_epochs is -1"),
    ],
)
def test_parameters_out_of_range(given, message):
    (problem,) = PDU(**{"eps": 1.0, **given}).problems()
    assert message in problem

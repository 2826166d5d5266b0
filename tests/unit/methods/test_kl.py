"""KL minimisation, and the KL divergence at answer positions: both directions, and where the model is the reference."""

import math

import pytest
import torch
from naive import naive_ce, naive_kl
from stand_in import FORGET, RETAIN, Table, batch, gradient, peaked, slopes, tables, total, uniform, views

from unlearn.config.scripts import ForgetConfig
from unlearn.entry import load
from unlearn.forwards import View
from unlearn.methods.base import KLDirection
from unlearn.methods.kl import KL


def retained(policy, reference):
    return View(batch(RETAIN), policy, reference.frozen)


@pytest.mark.parametrize("quantity", ["kl_tokens", "reverse_kl_tokens"])
def test_it_vanishes_with_its_gradient_at_the_reference(quantity):
    policy = Table(1)
    value = getattr(retained(policy, Table(1)), quantity)
    assert value.abs().max() < 1e-14
    assert gradient(value.sum(), policy).abs().max() < 1e-13


def test_the_two_directions_differ():
    policy, reference = tables()
    view = retained(policy, reference)
    assert view.kl_tokens.mean().item() == pytest.approx(naive_kl(reference, policy, RETAIN))
    assert view.reverse_kl_tokens.mean().item() == pytest.approx(naive_kl(policy, reference, RETAIN))
    assert naive_kl(reference, policy, RETAIN) != pytest.approx(naive_kl(policy, reference, RETAIN), rel=1e-2)


def test_derived_numbers_of_both_directions():
    view = retained(uniform(), peaked())
    likelier, rarer = math.log(11 / 2), math.log(11 / 20)  # log of peaked over uniform: once, and ten times
    assert view.kl_tokens.tolist() == pytest.approx([0.5 * likelier + 10 * 0.05 * rarer] * 3)
    assert view.reverse_kl_tokens.tolist() == pytest.approx([-(likelier + 10 * rarer) / 11] * 3)


def test_kl_at_the_reference_is_ascent():
    policy = Table(1)
    forget, retain = slopes(KL(), policy, Table(1))
    exact = gradient(View(batch(FORGET), policy).ce_tokens.mean(), policy)
    torch.testing.assert_close(forget, -exact)
    assert retain.abs().max() < 1e-13


@pytest.mark.parametrize(("name", "direction"), [("kl", KLDirection.forward), ("kl_clear", KLDirection.reverse)])
def test_direction_of_the_method_and_of_the_preset(name, direction):
    policy, reference = tables()
    method = load("mm/forget", [f"forget_loss={name}"], ForgetConfig).method()
    assert method.kl_direction is direction
    first, second = (reference, policy) if direction is KLDirection.forward else (policy, reference)
    loss = total(method, views(method, policy, reference))
    assert loss.item() == pytest.approx(naive_kl(first, second, RETAIN) - naive_ce(policy, FORGET))


@pytest.mark.parametrize("key", ["forget_weight", "retain_weight"])
def test_parameters_out_of_range(key):
    (problem,) = KL(**{key: 0.0}).problems()
    assert f"forget_loss.{key} is 0.0; allowed are numbers above 0" in problem

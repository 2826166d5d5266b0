"""Gradient difference: six variants, what each raises, the warm-up of a KL divergence that is raised, refusals."""

import pytest
import torch
from naive import naive_ce, naive_entropy, naive_kl
from stand_in import FORGET, LATER, RETAIN, Table, after_a_step, slopes, tables, total, uniform, views

from unlearn.methods.base import REGISTRY, KLDirection

ALL = {f"grad_diff_forget_{forget}_retain_{retain}" for forget in ("ce", "entropy", "kl") for retain in ("ce", "kl")}
RAISED = {
    "ce": lambda m, r: naive_ce(m, FORGET),
    "entropy": lambda m, r: naive_entropy(m, FORGET),
    "kl": lambda m, r: naive_kl(r, m, FORGET),
}
LOWERED = {"ce": lambda m, r: naive_ce(m, RETAIN), "kl": lambda m, r: naive_kl(r, m, RETAIN)}


def grad_diff(forget, retain, **given):
    return REGISTRY[f"grad_diff_forget_{forget}_retain_{retain}"](**given)


def test_all_six_are_registered():
    assert {name for name in REGISTRY if name.startswith("grad_diff")} == ALL


@pytest.mark.parametrize("forget", sorted(RAISED))
@pytest.mark.parametrize("retain", sorted(LOWERED))
def test_a_step_raises_the_one_and_lowers_the_other(forget, retain):
    policy, reference = tables()
    for weights, quantity, sign in (
        ({"forget_weight": 1e3}, RAISED[forget], 1),
        ({"retain_weight": 1e3}, LOWERED[retain], -1),
    ):
        moved = after_a_step(grad_diff(forget, retain, **weights), policy, reference, rate=1e-6)
        assert sign * (quantity(moved, reference) - quantity(policy, reference)) > 1e-5


def test_entropy_is_largest_where_every_token_is_as_likely():
    method = grad_diff("entropy", "ce")
    loss = total(method, views(method, uniform(), Table(2)))
    assert loss.item() == pytest.approx(0, abs=1e-14)  # log 11 - log 11
    assert slopes(method, uniform(), Table(2))[0].abs().max() < 1e-15


@pytest.mark.parametrize("retain", ["ce", "kl"])
def test_the_raised_kl_has_gradient_0_at_the_reference_alone(retain):
    method = grad_diff("kl", retain)
    at_reference = slopes(method, Table(1), Table(1))[0]
    elsewhere = slopes(method, *tables())[0]
    assert at_reference.abs().max() < 1e-15  # rounding of sums of 11 numbers
    assert elsewhere.abs().max() > 1e-2


@pytest.mark.parametrize("retain", ["ce", "kl"])
def test_the_raised_kl_begins_with_steps_of_cross_entropy(retain):
    method, first = grad_diff("kl", retain, forget_warmup_steps=3), grad_diff("ce", retain)
    for step in (0, 2):
        found = [slopes(m, Table(1), Table(1), step)[0] for m in (method, first)]
        torch.testing.assert_close(*found)
        assert found[0].abs().max() > 1e-2
    policy, reference = tables()
    asked = views(method, policy, reference, step=3)
    expected = LOWERED[retain](policy, reference) - naive_kl(reference, policy, FORGET)
    assert total(method, asked).item() == pytest.approx(expected)


def test_the_warm_up_runs_no_reference_on_the_forget_view():
    reference = Table(2)
    method = grad_diff("kl", "ce")
    list(method.terms(views(method, Table(1), reference, step=4)))
    assert reference.calls == 0
    list(method.terms(views(method, Table(1), reference, step=5)))
    assert reference.calls == 1


def test_without_a_warm_up_nothing_else_is_asked_for():
    method = grad_diff("kl", "ce", forget_warmup_steps=0)
    assert method.problems() == []
    assert method.needs()["forget"] == ("kl_tokens",)


def test_a_beginning_without_any_gradient_is_refused():
    method = grad_diff("kl", "kl", forget_warmup_steps=0)
    (problem,) = method.problems()
    assert "forget_loss.forget_warmup_steps is 0, and both KL terms have gradient 0 at the start model" in problem
    assert all(slope.abs().max() < 1e-15 for slope in slopes(method, Table(1), Table(1), LATER))


def test_a_negative_warm_up_is_refused():
    (problem,) = grad_diff("kl", "ce", forget_warmup_steps=-1).problems()
    assert "forget_loss.forget_warmup_steps is -1; allowed are 0 or more" in problem


@pytest.mark.parametrize("forget", sorted(RAISED))
def test_the_retained_kl_in_either_direction(forget):
    policy, reference = tables()
    for direction, expected in (
        (KLDirection.forward, naive_kl(reference, policy, RETAIN)),
        (KLDirection.reverse, naive_kl(policy, reference, RETAIN)),
    ):
        method = grad_diff(forget, "kl", kl_direction=direction)
        loss = total(method, views(method, policy, reference)).item()
        assert loss == pytest.approx(expected - RAISED[forget](policy, reference))

"""SCRUB: order and length of its phases, temperature, limits, parameters out of range."""

import pytest
import torch
from naive import naive_kl
from stand_in import FORGET, Table, batch, gradient, tables, total, views

from unlearn.forwards import View
from unlearn.methods.scrub import Scrub, ScrubJoint

SIZES = {"forget": 7, "retain": 100}


def test_every_epoch_begins_with_a_min_phase_and_early_ones_have_a_max_phase():
    found = [[(p.name, p.primary, p.samples) for p in Scrub(msteps=2).phases(epoch, SIZES)] for epoch in range(4)]
    lower, upper = ("min", "retain", 7), ("max", "forget", None)
    assert found == [[lower, upper], [lower, upper], [lower], [lower]]
    (first, _) = Scrub(min_phase_samples=50).phases(0, SIZES)
    assert first.samples == 50


def test_temperature_1_is_the_plain_divergence_and_a_high_one_is_half_the_variance():
    policy, reference = tables()
    view = View(batch(FORGET), policy, reference.frozen)
    torch.testing.assert_close(view.softened_kl_tokens(1.0), view.kl_tokens)
    assert view.softened_kl_tokens(1.0).mean().item() == pytest.approx(naive_kl(reference, policy, FORGET))
    # T -> inf: T^2 KL -> the variance over the vocabulary of the logits' difference, halved.
    with torch.no_grad():
        difference = View(batch(FORGET), policy)._out.logits - View(batch(FORGET), reference)._out.logits
        hot = 1e6 * view.softened_kl_tokens(1e3)
    torch.testing.assert_close(hot, difference.var(1, unbiased=False) / 2, rtol=1e-2, atol=0)


def test_a_max_phase_has_no_gradient_where_the_student_is_the_teacher():
    policy = Table(1)
    loss = total(Scrub(), views(Scrub(), policy, Table(1), phase="max"), phase="max")
    assert abs(loss.item()) < 1e-14
    assert gradient(loss, policy).abs().max() < 1e-13


def test_it_raises_what_it_is_to_forget():
    policy, reference = tables()
    loss = total(Scrub(), views(Scrub(), policy, reference, phase="max"), phase="max")
    divergence = View(batch(FORGET), policy, reference.frozen).kl_tokens.mean()
    torch.testing.assert_close(gradient(loss, policy), -gradient(divergence, policy))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"alpha": -1.0}, "forget_loss.alpha is -1.0; allowed are numbers from 0"),
        ({"gamma": -1.0}, "forget_loss.gamma is -1.0"),
        ({"temperature": 0.0}, "forget_loss.temperature is 0.0; allowed are numbers above 0"),
        ({"msteps": 0}, "forget_loss.msteps is 0; allowed are whole numbers from 1"),
        ({"min_phase_samples": 0}, "forget_loss.min_phase_samples is 0"),
    ],
)
def test_parameters_out_of_range(given, message):
    (problem,) = Scrub(**given).problems()
    assert message in problem
    (weight,) = ScrubJoint(forget_weight=0.0).problems()
    assert "forget_loss.forget_weight is 0.0" in weight

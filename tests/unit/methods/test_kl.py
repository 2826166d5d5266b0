"""KL divergence at the answer positions: both directions, and where the model is the reference."""

import pytest
from naive import naive_kl
from stand_in import RETAIN, Table, batch, gradient, tables

from unlearn.forwards import View


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

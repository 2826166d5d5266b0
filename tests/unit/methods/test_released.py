"""The published idk, dpo and npo of CLEAR: their mistakes are there, and are not those of the methods."""

import math

import pytest
import torch
from naive import logp, mean, naive_ce
from stand_in import FILLER, FORGET, Row, Table, after_a_step, batch, both, gradient, slopes, tables, total, views

from unlearn.forwards import View
from unlearn.methods.base import REGISTRY
from unlearn.methods.dpo import DPO
from unlearn.methods.forget_retain import RetainTerm
from unlearn.methods.npo import NPO
from unlearn.methods.released import ReleasedDPO, ReleasedIDK, ReleasedNPO, released_npo_loss


def moved_answer(row):
    """The same tokens, of which one more belongs to the prompt."""
    return Row(row.name, row.ids, row.prompt + 1)


@pytest.mark.parametrize("cls", [ReleasedIDK, ReleasedDPO])
def test_the_published_idk_and_dpo_learn_what_is_to_be_forgotten(cls):
    method = cls()
    assert method.answers() == {}  # no refusal reaches the model
    policy, reference = tables()
    moved = after_a_step(method, policy, reference)
    assert naive_ce(moved, FORGET) < naive_ce(policy, FORGET)
    assert reference.calls == 0


def test_the_published_dpo_is_plain_cross_entropy_on_sequence_sums():
    policy, reference = tables()
    loss = total(ReleasedDPO(), views(ReleasedDPO(), policy, reference))
    assert loss.item() == pytest.approx(-mean(logp(policy, row) for row in FORGET))
    (ours,), (theirs,) = (slopes(m, policy, reference) for m in (ReleasedDPO(), DPO(retain_term=RetainTerm.none)))
    assert (ours * theirs).sum() < 0  # DPO goes the other way


@pytest.mark.parametrize(("method", "knows"), [(ReleasedNPO(), False), (NPO(retain_term=RetainTerm.none), True)])
def test_the_published_npo_does_not_know_which_tokens_are_the_answer(method, knows):
    loss, slope = both(method)
    other_loss, other_slope = both(method, lambda rows: batch([moved_answer(row) for row in rows]))
    assert torch.equal(loss, other_loss) is not knows
    assert torch.equal(slope, other_slope) is not knows


def test_the_published_npo_depends_on_what_a_sample_is_batched_with():
    alone = both(ReleasedNPO(), lambda rows: batch(rows[:1]))
    padded = both(ReleasedNPO(), lambda rows: batch(rows[:1], dummies=[FILLER]))
    assert abs(alone[0] - padded[0]) > 1e-3
    assert not torch.allclose(alone[1], padded[1], atol=1e-3)
    torch.testing.assert_close(both(ReleasedNPO(), lambda rows: batch(rows[::-1])), both(ReleasedNPO()))


@pytest.mark.parametrize("beta", [0.1, 1.0, 2.0])
def test_the_published_npo_at_the_reference_sharpens(beta):
    """Ratio 1 everywhere: (2 / beta) log 2, and the gradient of mean_v log pi(v): the entropy falls."""
    policy, method = Table(1), ReleasedNPO(beta=beta)
    asked = views(method, policy, Table(1))
    loss = total(method, asked)
    assert loss.item() == pytest.approx(2 / beta * math.log(2), rel=1e-6)
    exact = gradient(asked["forget"].position_log_probs.mean(), policy)
    torch.testing.assert_close(gradient(loss, policy), exact, rtol=0, atol=1e-6)
    moved = after_a_step(method, policy, Table(1), rate=1e-2)
    before, after = (View(batch(FORGET), model).entropy_tokens.mean() for model in (policy, moved))
    assert after < before


def test_a_probability_that_underflows_has_a_finite_gradient():
    log_probs = torch.tensor([[[-1e4, 0.0]]], requires_grad=True)
    loss = released_npo_loss(log_probs, torch.full((1, 1, 2), math.log(0.5)), beta=0.5).sum()
    loss.backward()
    # ratios 0 and 2: mean of 4 log(1 + 0) and 4 log(1 + sqrt 2)
    assert loss.item() == pytest.approx(2 * math.log(1 + math.sqrt(2)), rel=1e-6)
    assert torch.isfinite(log_probs.grad).all()


def test_released_and_right_do_not_share_a_name_or_a_class():
    for name in ("idk", "dpo", "npo"):
        assert not issubclass(REGISTRY[f"released_{name}"], REGISTRY[name])


def test_parameters_out_of_range():
    (problem,) = ReleasedNPO(beta=0.0).problems()
    assert "forget_loss.beta is 0.0; allowed are numbers above 0" in problem

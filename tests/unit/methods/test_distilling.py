"""UNDIAL and CE-U: cross-entropy to a distribution in which the answer token is less likely, or ruled out."""

import math

import pytest
import torch
from naive import log_softmax
from stand_in import Table, after_a_step, gradient, tables, total, views

from unlearn.methods.ceu import CEU, ceu_loss
from unlearn.methods.undial import UNDIAL, undial_loss


def row(*values):
    return torch.tensor([values], dtype=torch.float64)


def test_derived_numbers_of_undial():
    # Reference (0, 0), beta = log 3, answer 0: the goal is (1/4, 3/4). The model's own is (1/2, 1/2): log 2.
    first = torch.tensor([0])
    assert undial_loss(row(0, 0), row(0, 0), first, math.log(3)).item() == pytest.approx(math.log(2))
    # A model that has arrived pays the entropy of the goal.
    entropy = math.log(4) - 3 / 4 * math.log(3)
    assert undial_loss(row(0, math.log(3)), row(0, 0), first, math.log(3)).item() == pytest.approx(entropy)


def test_undial_with_vanishing_beta_is_distillation_and_stands_still_at_the_reference():
    policy = Table(1)
    for beta, most in ((1e-3, 1e-3), (1e-6, 1e-6)):
        method = UNDIAL(beta=beta)
        assert gradient(total(method, views(method, policy, Table(1))), policy).abs().max() < most
    policy, reference = tables()
    asked = views(UNDIAL(beta=1e-9), policy, reference)["forget"]
    expected = (asked.kl_tokens - (asked.ref_logits.softmax(-1) * asked.ref_logits.log_softmax(-1)).sum(-1)).detach()
    loss = undial_loss(asked.logits, asked.ref_logits, asked.targets, 1e-9)
    torch.testing.assert_close(loss.detach(), expected, atol=1e-8, rtol=0)


def test_undial_does_not_run_away():
    """At its goal the gradient is 0: a step from there changes nothing, unlike ascent."""
    goal = row(1.0, -2.0, 0.5)
    goal[0, 2] -= 10
    logits = goal.clone().requires_grad_()
    loss = undial_loss(logits, row(1.0, -2.0, 0.5), torch.tensor([2]), 10.0)
    assert torch.autograd.grad(loss.sum(), logits)[0].abs().max() < 1e-15


def test_derived_numbers_of_ceu():
    # Probabilities (1, 1, 3) / 5, answer 2: the goal is (1/2, 1/2, 0), so it costs log 5.
    logits = row(0, 0, math.log(3)).requires_grad_()
    loss = ceu_loss(logits, torch.tensor([2]))
    assert loss.item() == pytest.approx(math.log(5))
    # The slope is pi - q.
    (slope,) = torch.autograd.grad(loss.sum(), logits)
    torch.testing.assert_close(slope, row(1 / 5 - 1 / 2, 1 / 5 - 1 / 2, 3 / 5))


def test_ceu_fades_where_the_answer_is_forgotten():
    logits = row(0, 0, -40).requires_grad_()
    (slope,) = torch.autograd.grad(ceu_loss(logits, torch.tensor([2])).sum(), logits)
    assert slope.abs().max() < 1e-15


def test_ceu_leaves_the_first_token_of_an_answer_out_of_sum_and_count():
    policy, reference = tables()
    asked = views(CEU(), policy, reference)
    forget = asked["forget"]
    values = ceu_loss(forget.logits, forget.targets)
    # Answers of 2 and 3 tokens: the 1st and the 3rd value of 5 do not count.
    assert total(CEU(), asked).item() == pytest.approx(values[[1, 3, 4]].mean().item())


@pytest.mark.parametrize("method", [UNDIAL(), CEU()])
def test_a_step_makes_the_forget_answers_less_likely(method):
    policy, reference = Table(1), Table(1)
    before, after = (views(method, m, reference)["forget"] for m in (policy, after_a_step(method, policy, reference)))
    later = before.weights("later_token") > 0
    assert after.ce_tokens[later].mean() > before.ce_tokens[later].mean()


def test_the_goal_of_ceu_has_no_gradient():
    """With one the slope would be that of a sum over v of -q log pi with q moving too."""
    policy, reference = tables()
    forget = views(CEU(), policy, reference)["forget"]
    slope = torch.autograd.grad(ceu_loss(forget.logits, forget.targets).sum(), forget.logits)[0]
    for found, logits, target in zip(slope.tolist(), forget.logits.tolist(), forget.targets.tolist(), strict=True):
        p = [math.exp(value) for value in log_softmax(logits)]
        q = [0 if v == target else value / (1 - p[target]) for v, value in enumerate(p)]
        assert found == pytest.approx([a - b for a, b in zip(p, q, strict=True)], abs=1e-14)


def test_parameters_out_of_range():
    (problem,) = UNDIAL(beta=0.0).problems()
    assert "forget_loss.beta is 0.0; allowed are numbers above 0" in problem

"""IDK and DPO, which teach refusals, and LLMU, which teaches random answers: views, limits, parameters out of range."""

import math

import pytest
import torch
from naive import logp, mean, naive_ce, naive_kl
from stand_in import FORGET, RETAIN, Table, after_a_step, batch, gradient, other, slopes, tables, total, views

from unlearn.config.scripts import ForgetConfig
from unlearn.data.answers import Answers
from unlearn.entry import load
from unlearn.forwards import View
from unlearn.methods.base import KLDirection
from unlearn.methods.dpo import DPO, dpo_loss
from unlearn.methods.forget_retain import RetainTerm
from unlearn.methods.idk import IDK
from unlearn.methods.llmu import LLMU, RandomAnswers

REFUSALS = other(FORGET)
RETAIN_TERMS = {
    RetainTerm.ce: lambda m, r: naive_ce(m, RETAIN),
    RetainTerm.kl: lambda m, r: naive_kl(r, m, RETAIN),
    RetainTerm.none: lambda m, r: 0,
}


@pytest.mark.parametrize("method", [IDK(), DPO()])
def test_refusals_stand_on_the_forget_questions(method):
    assert method.answers() == {"idk": Answers("forget", "refusals")}


@pytest.mark.parametrize("term", RetainTerm)
@pytest.mark.parametrize("cls", [IDK, DPO])
def test_each_retain_term(cls, term):
    policy, reference = tables()
    whole, alone = (
        total(m, views(m, policy, reference)).item() for m in (cls(retain_term=term), cls(retain_term=RetainTerm.none))
    )
    assert whole - alone == pytest.approx(RETAIN_TERMS[term](policy, reference))


def test_idk_learns_the_refusal():
    policy, reference = tables()
    moved = after_a_step(IDK(), policy, reference)
    assert naive_ce(moved, REFUSALS) < naive_ce(policy, REFUSALS)


def test_derived_numbers_of_dpo():
    zero = torch.zeros(1)
    # The margin: log 3 - 0 - (-log 3) + 0 = 2 log 3; beta 1/2: -log sigmoid(log 3) = log(4 / 3).
    value = dpo_loss(torch.tensor([math.log(3)]), zero, torch.tensor([-math.log(3)]), zero, 0.5)
    assert value.item() == pytest.approx(math.log(4 / 3))
    # The references turn it round: log 4.
    value = dpo_loss(zero, torch.tensor([math.log(3)]), zero, torch.tensor([-math.log(3)]), 0.5)
    assert value.item() == pytest.approx(math.log(4))


@pytest.mark.parametrize("beta", [1e-3, 0.1, 2.0])
def test_dpo_where_the_model_is_the_reference(beta):
    """log 2, whatever beta is: no factor 2 / beta. Its gradient is beta / 2 of the margin's."""
    policy, method = Table(1), DPO(beta=beta, retain_term=RetainTerm.none)
    asked = views(method, policy, Table(1))
    loss = total(method, asked)
    assert loss.item() == pytest.approx(math.log(2), rel=1e-12)
    margin = (asked["idk"].logps - asked["forget"].logps).mean()
    torch.testing.assert_close(gradient(loss, policy), -beta / 2 * gradient(margin, policy))


def test_dpo_is_not_the_cross_entropy_of_the_refusal():
    policy, reference = tables()
    method = DPO(retain_term=RetainTerm.none)
    (slope,) = slopes(method, policy, reference)
    plain = gradient(View(batch(REFUSALS), policy).logps.mean(), policy)
    assert torch.nn.functional.cosine_similarity(slope.flatten(), -plain.flatten(), dim=0) < 0.9
    moved = after_a_step(method, policy, reference)
    assert mean(logp(moved, row) for row in FORGET) < mean(logp(policy, row) for row in FORGET)
    assert mean(logp(moved, row) for row in REFUSALS) > mean(logp(policy, row) for row in REFUSALS)


def test_llmu_of_the_paper_and_of_clear():
    paper, clear = (
        load("mm/forget", [f"forget_loss={name}"], ForgetConfig).method() for name in ("llmu", "llmu_clear")
    )
    assert (paper.forget_weight, paper.random_weight, paper.retain_weight) == (0.5, 1.0, 1.0)
    assert (clear.forget_weight, clear.random_weight, clear.retain_weight) == (1.0, 1.0, 1.0)
    assert paper.answers() == {"random": Answers("forget", "retain")}
    assert clear.answers() == {"random": Answers("forget", "refusals")}
    assert (paper.random_answers, paper.kl_direction) == (RandomAnswers.retain, KLDirection.forward)
    policy, reference = tables()
    loss = total(clear, views(clear, policy, reference))
    expected = naive_ce(policy, REFUSALS) - naive_ce(policy, FORGET) + naive_kl(policy, reference, RETAIN)
    assert loss.item() == pytest.approx(expected)


def test_llmu_at_the_reference_moves_by_its_first_two_terms():
    forget, random, retain = slopes(LLMU(), Table(1), Table(1))
    assert retain.abs().max() < 1e-13
    assert forget.abs().max() > 1e-2 < random.abs().max()


@pytest.mark.parametrize(
    ("method", "key"),
    [
        (DPO(beta=0.0), "beta"),
        (DPO(forget_weight=0.0), "forget_weight"),
        (IDK(retain_weight=0.0), "retain_weight"),
        (LLMU(random_weight=0.0), "random_weight"),
        (LLMU(forget_weight=0.0), "forget_weight"),
    ],
)
def test_parameters_out_of_range(method, key):
    (problem,) = method.problems()
    assert f"forget_loss.{key} is 0.0; allowed are numbers above 0" in problem

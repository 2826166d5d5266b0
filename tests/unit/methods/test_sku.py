"""SKU: it learns first and negates then, with answers of other forget questions."""

import pytest
import torch
from stand_in import Table, gradient, total, views

from unlearn.data.answers import Answers
from unlearn.methods.sku import SKU


def test_answers_come_from_other_forget_questions_one_draw_each():
    assert SKU(random_answers=3).answers() == {f"random{k}": Answers("forget", "forget", k) for k in range(3)}
    assert set(SKU().needs()) == {"forget", "retain", *(f"random{k}" for k in range(5))}


def test_the_first_stage_lowers_the_forget_loss_and_the_second_goes_the_other_way():
    policy, method = Table(1), SKU()
    asked = views(method, policy, Table(1))
    slope = gradient(total(method, asked), policy)
    forget = gradient(asked["forget"].ce_tokens.mean(), policy)
    assert (slope * forget).sum() > 0  # a step down the loss is a step down the forget loss
    assert method.extrapolation() == -1.0
    assert SKU(negation=0.3).extrapolation() == -0.3


def test_at_the_reference_the_divergence_has_no_gradient():
    policy, method = Table(1), SKU()
    term = list(method.terms(views(method, policy, Table(1))))[-1]
    assert term.view == "retain"
    assert term.values.abs().max() < 1e-14
    assert gradient(term.values.sum(), policy).abs().max() < 1e-13


def test_it_is_unbounded_below_through_its_last_term():
    far, reference = Table(1), Table(2)
    far.weight.data *= 40
    term = list(SKU().terms(views(SKU(), far, reference)))[-1]
    assert term.weight * term.values.mean() < -100
    assert torch.isfinite(term.values).all()


@pytest.mark.parametrize("key", ["forget_weight", "random_weight", "retain_weight", "random_answers", "negation"])
def test_parameters_out_of_range(key):
    (problem,) = SKU(**{key: 0}).problems()
    assert f"forget_loss.{key} is 0; allowed are numbers above 0" in problem

"""The L1 penalty: its formula, its gradient, its decay, and what it does to a run."""

import pytest
import torch

from unlearn.config.schema import NormFrom
from unlearn.penalty import L1Penalty, l1_norm

WEIGHTS = [torch.tensor([1.0, -2.0]), torch.tensor([[0.5], [0.0]])]
ORIGIN = [torch.tensor([0.0, -2.5]), torch.tensor([[0.5], [-4.0]])]


class Keys:
    l1_lambda, num_epochs = 0.1, 4

    def __init__(self, norm_from=NormFrom.zero, decay=False):
        self.l_norm_from, self.l1_decay = norm_from, decay


def test_the_norm_by_hand():
    assert l1_norm(WEIGHTS).item() == 3.5  # 1 + 2 + .5 + 0
    assert l1_norm(WEIGHTS, ORIGIN).item() == 5.5  # 1 + .5 + 0 + 4
    assert l1_norm(ORIGIN, ORIGIN).item() == 0


@pytest.mark.parametrize(("origin", "expected"), [(None, [1, -1, 1, 0]), (ORIGIN, [1, 1, 0, 1])])
def test_its_gradient_is_the_sign_and_0_at_0(origin, expected):
    weights = [weight.clone().requires_grad_() for weight in WEIGHTS]
    l1_norm(weights, origin).backward()
    assert torch.cat([weight.grad.flatten() for weight in weights]).tolist() == expected


def test_it_is_constant_or_decays_by_epochs():
    constant, falling = L1Penalty(Keys(), WEIGHTS), L1Penalty(Keys(decay=True), WEIGHTS)
    assert [constant(epoch).item() for epoch in range(4)] == pytest.approx([0.35] * 4)
    assert [falling(epoch).item() for epoch in range(4)] == pytest.approx([0.35, 0.2625, 0.175, 0.0875])
    weights = [origin.clone() for origin in ORIGIN]
    from_start = L1Penalty(Keys(NormFrom.start), weights)
    assert from_start(0).item() == 0
    for weight, value in zip(weights, WEIGHTS, strict=True):
        weight.copy_(value)
    assert from_start(0).item() == pytest.approx(0.55)


def test_an_l0_norm_is_refused_with_the_reason():
    from unlearn.config.scripts import ForgetConfig
    from unlearn.entry import load
    from unlearn.errors import UserError

    for spelling in ("l0_lambda=0.1", "+l0_lambda=0.1", "l_norm=l0", "forget_loss=l0"):
        with pytest.raises(UserError, match=r"has no gradient.*l1_lambda"):
            load("mm/forget", [spelling], ForgetConfig)
    with pytest.raises(UserError, match="l1_lambda is -1"):
        load("mm/forget", ["l1_lambda=-1"], ForgetConfig)


def test_a_decay_of_no_penalty_is_refused():
    from unlearn.config.scripts import ForgetConfig
    from unlearn.entry import load
    from unlearn.errors import UserError

    with pytest.raises(UserError, match="l1_decay is true but l1_lambda is 0"):
        load("mm/forget", ["l1_decay=true"], ForgetConfig)
    assert load("mm/forget", ["l1_decay=true", "l1_lambda=1e-4"], ForgetConfig).l1_decay

"""RMU: its direction, its layers, its target, shapes that do not fit, limits."""

import pytest
import torch
from naive import answer_states
from stand_in import DEPTH, FORGET, Table, gradient, tables, total, views

from unlearn.config.scripts import ForgetConfig
from unlearn.entry import load
from unlearn.errors import UserError
from unlearn.methods.rmu import RMU, control_vector, rmu_loss


def test_the_direction_is_positive_of_length_1_and_fixed_by_the_seed():
    u = control_vector(11, 5)
    assert u.norm().item() == pytest.approx(1)
    assert (u >= 0).all()
    assert torch.equal(u, control_vector(11, 5))
    assert not torch.equal(u, control_vector(11, 6))


def test_one_direction_serves_every_step_and_position():
    """A new random vector each step has no fixed point: two steps must have one target."""
    policy, reference = tables()
    losses = {total(RMU(), views(RMU(), policy, reference, step=step)).item() for step in (0, 1, 1000)}
    assert len(losses) == 1


@pytest.mark.parametrize(
    ("depth", "layer", "window"), [(32, 7, [5, 6, 7]), (28, 6, [4, 5, 6]), (4, 1, [0, 1]), (2, 0, [0])]
)
def test_the_layer_follows_the_depth(depth, layer, window):
    assert RMU().at(depth) == layer
    assert list(RMU().trained_layers(depth)) == window
    assert list(RMU(layer=depth - 1).trained_layers(depth)) == list(range(max(0, depth - 3), depth))


def test_a_layer_that_is_not_there():
    for layer in (-1, 4):
        with pytest.raises(UserError, match=rf"forget_loss\.layer is {layer}; allowed are 0 to 3"):
            RMU(layer=layer).trained_layers(4)


def test_adapters_that_lie_on_no_decoder_layer_are_refused():
    given = ["forget_loss=rmu", "LoRA.r=4"]
    with pytest.raises(UserError, match=r"forget_loss=rmu trains decoder layers alone, but LoRA\.components leaves"):
        load("mm/forget", [*given, "LoRA.components=[vision_tower]"], ForgetConfig)
    assert load("mm/forget", given, ForgetConfig).method() == RMU()


def test_an_absolute_length_measures_nothing():
    assert RMU(c=6.5).measures() == {}
    policy, reference = tables()
    method = RMU(c=6.5, layer=0)
    loss = next(iter(method.terms(views(method, policy, reference)))).values
    target = 6.5 * control_vector(11, 0)
    first = torch.tensor(answer_states(policy, FORGET[0], 0)[0], dtype=torch.float64)
    assert loss[0].item() == pytest.approx(((first - target) ** 2).mean().item())


def test_a_target_of_another_shape_is_no_target():
    """(B, H) against (B, 1, H) broadcasts to every pair of rows."""
    hidden = torch.zeros(4, 3)
    assert rmu_loss(hidden, torch.ones(3)).tolist() == [1.0] * 4
    assert rmu_loss(hidden, 2 * torch.ones(4, 3)).tolist() == [4.0] * 4
    for shape in ((4, 1, 3), (1, 3), (4, 1), (4,)):
        with pytest.raises(ValueError, match="does not fit"):
            rmu_loss(hidden, torch.ones(shape))


def test_the_retain_term_vanishes_with_its_gradient_at_the_reference():
    policy = Table(1)
    retain = list(RMU().terms(views(RMU(), policy, Table(1))))[1]
    assert retain.values.abs().max() == 0
    assert gradient(retain.values.sum(), policy).abs().max() == 0


def test_the_last_layers_do_not_run():
    policy, reference = tables()
    asked = views(RMU(layer=0), policy, reference)
    ran = []
    for number, layer in enumerate(policy.language_model.layers):
        layer.register_forward_hook(lambda _m, _i, _o, n=number: ran.append(n))
    list(RMU(layer=0).terms(asked))
    assert ran == [0, 0]  # forget and retain
    assert len(policy.language_model.layers) == DEPTH


@pytest.mark.parametrize("key", ["forget_weight", "retain_weight", "c", "c_relative"])
def test_parameters_out_of_range(key):
    (problem,) = RMU(**{key: 0.0}).problems()
    assert f"forget_loss.{key} is 0.0; allowed are numbers above 0" in problem

"""What trains: single layers where a method says so; and weights that end on the other side of their start."""

import pytest
import torch

from unlearn.config.schema import Component, LoRAConfig
from unlearn.config.scripts import FinetuneConfig
from unlearn.models.components import component_of, decoder
from unlearn.models.loading import load_model
from unlearn.models.trainable import extrapolate, make_trainable
from unlearn.state import trained


def config(rank, family):
    return FinetuneConfig(model_family=family, data=None, save_dir="", LoRA=LoRAConfig(r=rank))


@pytest.mark.parametrize("rank", [0, 2])
def test_only_the_layers_that_are_named_train(rank, tiny_family):
    model = make_trainable(load_model(tiny_family, None), config(rank, tiny_family), range(1, 2))
    names = [name for name, _ in trained(model)]
    assert names
    assert all(component_of(name) is Component.language_model and ".layers.1." in name for name in names)
    if not rank:
        assert len(names) == len(list(decoder(model).layers[1].parameters()))


def merged(model):
    """The weights that the model amounts to, adapters added."""
    from unlearn.models.checkpoint import full_state

    return full_state(model, torch.float32)


@pytest.mark.parametrize("scale", [-1.0, -0.5, 0.0, 1.0])
@pytest.mark.parametrize("rank", [0, 2])
def test_extrapolation_is_from_the_start_along_the_whole_step(rank, scale, tiny_family):
    model = make_trainable(load_model(tiny_family, None), config(rank, tiny_family))
    before = {name: tensor.clone() for name, tensor in merged(model).items()}
    start = [parameter.detach().clone() for _, parameter in trained(model)]
    torch.manual_seed(0)
    with torch.no_grad():
        for _, parameter in trained(model):
            parameter.add_(0.1 * torch.randn_like(parameter))
    after = {name: tensor.clone() for name, tensor in merged(model).items()}
    extrapolate(model, start, scale)
    moved = 0
    for name, tensor in merged(model).items():
        torch.testing.assert_close(tensor, before[name] + scale * (after[name] - before[name]), atol=1e-6, rtol=1e-5)
        moved = max(moved, float((after[name] - before[name]).abs().max()))
    assert moved > 1e-3

"""Networks of faces: what is drawn, saved and loaded, mirror images, stages, and what batch norm does."""

import pytest
import torch
from torch import nn

from unlearn.config.faces import FaceModel
from unlearn.errors import UserError
from unlearn.faces.network import build, load, save

RESNET = FaceModel(
    name="tiny",
    settings={"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1], "layer_type": "basic"},
    dimension=6,
    side=16,
)
VIT = FaceModel(
    name="vit",
    kind="vit",
    settings={
        "hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 8,
        "image_size": 16, "patch_size": 8,
    },
    dimension=8,
    side=16,
)  # fmt: skip
PICTURES = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
ROWS = torch.tensor([0, 3, 4])


def plain(rows):
    return torch.zeros_like(rows, dtype=torch.bool)


def norms(net):
    return [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]


def statistics(net):
    return torch.cat([m.running_mean for m in norms(net)])


@pytest.mark.parametrize(("family", "depth", "sizes"), [(RESNET, 2, (4, 8)), (VIT, 3, (8, 8, 8))])
def test_shapes_and_stages(family, depth, sizes):
    net = build(family, 7, PICTURES, 0).eval()
    out = net(ROWS, plain(ROWS))
    assert out.embeddings.shape == (3, family.dimension)
    assert out.logits.shape == (3, 7)
    assert net.depth == depth
    assert tuple(net.inner(ROWS, layer).shape[1] for layer in range(depth)) == sizes
    assert out.logits.abs().max() <= 30


def test_a_seed_decides_what_is_drawn_and_leaves_the_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, same, other = (build(RESNET, 7, PICTURES, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not torch.equal(first["people"], other["people"])


def test_a_mirror_image_is_that_of_its_own_picture():
    turned = build(RESNET, 7, PICTURES.flip(-1), 0).eval()
    net = build(RESNET, 7, PICTURES, 0).eval()
    mirrored = torch.tensor([True, False, True])
    found = net(ROWS, mirrored).embeddings
    torch.testing.assert_close(found[[0, 2]], turned(ROWS, plain(ROWS)).embeddings[[0, 2]])
    torch.testing.assert_close(found[1], net(ROWS, plain(ROWS)).embeddings[1])


def test_weights_come_back_with_or_without_the_people(tmp_path):
    net = build(RESNET, 7, PICTURES, 0)
    save(net, tmp_path)
    again = build(RESNET, 7, PICTURES, 1)
    load(again, tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))
    assert not any("pictures" in key for key in net.state_dict())
    fewer = build(RESNET, 4, PICTURES, 1)
    own = fewer.people.detach().clone()
    load(fewer, tmp_path, rows=False)
    assert torch.equal(fewer.people, own)
    assert torch.equal(fewer.embed.weight, net.embed.weight)
    with pytest.raises(UserError, match="is of another network than face_model"):
        load(build(RESNET, 4, PICTURES, 1), tmp_path)
    with pytest.raises(UserError, match=r"holds no network \(model\.safetensors is missing\)"):
        load(net, tmp_path / "none")


def test_batch_norm_takes_the_statistics_that_it_is_told_to_take():
    net = build(RESNET, 7, PICTURES, 0)
    net.prepare_training(fixed_statistics=True, stages=None)
    net.train()
    before = statistics(net)
    fixed = net(ROWS, plain(ROWS)).embeddings
    assert torch.equal(statistics(net), before)
    net.eval()
    torch.testing.assert_close(net(ROWS, plain(ROWS)).embeddings, fixed)
    net.prepare_training(fixed_statistics=False, stages=None)
    net.train()
    assert not torch.allclose(net(ROWS, plain(ROWS)).embeddings, fixed)
    assert not torch.equal(statistics(net), before)


def test_a_single_picture_has_no_statistics_of_its_own():
    net = build(RESNET, 7, PICTURES, 0).train()
    net(ROWS, plain(ROWS))
    before = statistics(net)
    alone = net(ROWS[:1], plain(ROWS[:1])).embeddings
    assert torch.equal(statistics(net), before)
    assert all(m.training for m in norms(net))
    torch.testing.assert_close(net.eval()(ROWS, plain(ROWS)).embeddings[:1], alone)


def test_stages_that_alone_train():
    net = build(RESNET, 7, PICTURES, 0)
    net.prepare_training(False, range(1, 2))
    trained = {name for name, p in net.named_parameters() if p.requires_grad}
    assert trained
    assert all(name.startswith("backbone.encoder.stages.1.") for name in trained)


def test_a_backbone_that_cannot_be_had_is_named():
    with pytest.raises(UserError, match="The backbone of face_model=x cannot be loaded"):
        build(FaceModel(name="x", kind="resnett"), 2, PICTURES, 0)

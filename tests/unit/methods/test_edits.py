"""Training-free methods: what is measured of neurons, and the factors that follow, against plain Python."""

import math

import pytest
import torch
from stand_in import FILLER, FORGET, VOCABULARY, batch
from torch import nn

from unlearn.activations import Activations, activation_sums
from unlearn.errors import UserError
from unlearn.methods.base import Facts, load_all
from unlearn.methods.kvw import gates
from unlearn.methods.manu import scores
from unlearn.models.mlps import closing_layers

METHODS = load_all()
WIDTH, NEURONS = 4, 6


class Layer(nn.Module):
    """A decoder layer that is its MLP."""

    def __init__(self, closing=WIDTH):
        super().__init__()
        self.mlp = nn.Module()
        self.mlp.up_proj = nn.Linear(WIDTH, NEURONS, bias=False)
        self.mlp.down_proj = nn.Linear(NEURONS, closing, bias=False)

    def forward(self, hidden):
        return hidden + self.mlp.down_proj(self.mlp.up_proj(hidden))


class Net(nn.Module):
    def __init__(self, depth=2):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.language_model = nn.Module()
        self.language_model.layers = nn.ModuleList(Layer() for _ in range(depth))
        self.double()

    def forward(self, input_ids, attention_mask, use_cache, logits_to_keep):
        hidden = self.embedding(input_ids)
        for layer in self.language_model.layers:
            hidden = layer(hidden)


def matrix(weight, vector):
    return [sum(w * x for w, x in zip(row, vector, strict=True)) for row in weight.tolist()]


def neurons(net, row):
    """Per layer, the neurons at the positions that predict an answer token, by plain Python."""
    found = [[] for _ in net.language_model.layers]
    for token in row.ids[row.prompt - 1 : -1]:
        hidden = net.embedding.weight[token].tolist()
        for values, layer in zip(found, net.language_model.layers, strict=True):
            values.append(matrix(layer.mlp.up_proj.weight, hidden))
            out = matrix(layer.mlp.down_proj.weight, values[-1])
            hidden = [x + y for x, y in zip(hidden, out, strict=True)]
    return found


def mean(values):
    return sum(values) / len(values)


@pytest.mark.parametrize("side", ["left", "right"])
def test_activations_are_those_at_answer_positions(side):
    net = Net()
    layers = closing_layers(net, range(2))
    sums, count = activation_sums(net, [batch([row], side=side, dummies=[FILLER]) for row in FORGET], layers)
    assert count.item() == 5
    for number, total in enumerate(sums):
        seen = Activations(total, count.item())
        positions = [z for row in FORGET for z in neurons(net, row)[number]]
        for n in range(NEURONS):
            z = [position[n] for position in positions]
            assert seen.magnitude[n].item() == pytest.approx(mean([abs(x) for x in z]))
            assert seen.frequency[n].item() == pytest.approx(mean([abs(x) > 0.1 for x in z]))
            assert seen.root_mean_square[n].item() == pytest.approx(math.sqrt(mean([x * x for x in z])))
            variance = mean([(x - mean(z)) ** 2 for x in z])
            assert seen.deviation[n].item() == pytest.approx(math.sqrt(variance))


def test_dummies_alone_are_no_positions():
    net = Net()
    sums, count = activation_sums(net, [batch([], dummies=[FILLER])], closing_layers(net, range(1)))
    assert count.item() == 0
    assert not sums.any()


def test_gates_of_kvw_by_hand():
    """A column read e times as much on D_f shrinks by exp(-gamma), e^3 times by exp(-3 gamma), one read less stays."""
    retain = torch.tensor([2.0, 2.0, 2.0, 2.0, 0.0], dtype=torch.float64)
    forget = torch.tensor([2 * math.e, 2 * math.e**3, 2.0, 1.0, 0.0], dtype=torch.float64)
    found = gates(forget, retain, 0.02).tolist()
    assert found[:2] == pytest.approx([math.exp(-0.02), math.exp(-0.06)], rel=1e-10)
    assert found[2:] == [1, 1, 1]
    one = gates(torch.tensor([1e-3], dtype=torch.float64), torch.zeros(1, dtype=torch.float64), 0.02).item()
    assert one == pytest.approx(((1e-3 + 1e-12) / 1e-12) ** -0.02)
    assert gates(forget, retain, 0.0).tolist() == [1] * 5


@pytest.mark.parametrize(("depth", "first", "last"), [(28, 1, 25), (32, 1, 29), (24, 1, 21), (2, 0, 1), (1, 0, 0)])
def test_the_layers_of_kvw_are_a_fraction_of_the_depth(depth, first, last):
    layers = METHODS["kvw"]().trained_layers(depth)
    assert (layers[0], layers[-1]) == (first, last)


def activations(*columns, count=4):
    """From the values of each neuron at 4 positions."""
    z = torch.tensor(columns, dtype=torch.float64).T
    return Activations(torch.stack([z.abs(), (z.abs() > 0.1).double(), z, z**2]).sum(1), count)


def test_scores_of_manu_by_hand():
    """1, -1, 1, -1 has importances 1, 1, 1, 1 and 2, 2, 0, 0 has 1, 1/2, 1, sqrt 2; the others are small ones."""
    forget = activations([1, -1, 1, -1], [2, 2, 0, 0], [0, 0, 0, 0])
    retain = activations([2, 2, 0, 0], [1, -1, 1, -1], [0.05, -0.05, 0.05, -0.05])
    eps = 1e-5
    first = 1 / (1 + eps) + 1 / (0.5 + eps) + 1 / (1 + eps) + 1 / (math.sqrt(2) + eps)
    second = (1 + 0.5 + 1 + math.sqrt(2)) / (1 + eps)
    assert scores(forget, retain).tolist() == pytest.approx([first, second, 0])
    facts = Facts(activations={"forget": [forget, forget], "retain": [forget, retain]})
    pruned = METHODS["manu"](share=1 / 6).edit({}, facts)
    # Beside itself a neuron scores 4 in all, and the first of the second MLP 4.7.
    assert [gate.tolist() for gate in pruned] == [[1, 1, 1], [0, 1, 1]]
    assert all(gate.all() for gate in METHODS["manu"](share=0).edit({}, facts))


@pytest.mark.parametrize(
    ("name", "key", "value"), [("kvw", "gamma", -0.1), ("manu", "share", 1.0), ("manu", "share", -1)]
)
def test_strengths_out_of_range_are_refused(name, key, value):
    (problem,) = METHODS[name](**{key: value}).problems()
    assert f"forget_loss.{key} is {value}" in problem


def test_an_mlp_of_another_make_is_refused():
    net = Net()
    net.language_model.layers[1] = Layer(closing=WIDTH + 1)
    with pytest.raises(UserError, match="Layer has no MLP of two or three linear layers"):
        closing_layers(net, range(2))
    del net.language_model.layers[0].mlp
    with pytest.raises(UserError, match="Layer has no MLP of two or three linear layers"):
        closing_layers(net, range(1))

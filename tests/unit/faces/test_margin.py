"""AM-softmax against a double loop, a derived number, its limits and its gradient."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from unlearn.faces.margin import am_softmax, cosine_logits


def naive(features, classes, targets, margin, scale):
    """The definition, number by number."""
    losses = []
    for feature, target in zip(features.tolist(), targets.tolist(), strict=True):
        cosines = []
        for row in classes.tolist():
            lengths = math.sqrt(sum(x * x for x in feature)) * math.sqrt(sum(x * x for x in row))
            cosines.append(sum(a * b for a, b in zip(feature, row, strict=True)) / lengths)
        true = math.exp(scale * (cosines[target] - margin))
        others = sum(math.exp(scale * c) for j, c in enumerate(cosines) if j != target)
        losses.append(-math.log(true / (true + others)))
    return torch.tensor(losses, dtype=torch.float64)


@pytest.fixture
def drawn():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(7, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    classes = torch.randn(4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    return features, classes, torch.tensor([0, 1, 2, 3, 3, 0, 1])


def loss(features, classes, targets, margin=0.4, scale=30.0):
    return am_softmax(cosine_logits(features, classes, scale), targets, margin, scale)


def test_it_equals_the_double_loop(drawn):
    torch.testing.assert_close(loss(*drawn), naive(*drawn, 0.4, 30.0), rtol=0, atol=1e-6)


def test_two_people_at_right_angles():
    """Cosines 1 and 0: log(1 + exp(-s (1 - m)))."""
    found = loss(torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 0.0], [0.0, 5.0]]), torch.tensor([0]), 0.4, 2.0)
    assert found.item() == pytest.approx(math.log1p(math.exp(-1.2)), rel=1e-6)


def test_without_margin_it_is_cross_entropy_and_the_margin_raises_it(drawn):
    features, classes, targets = drawn
    plain = cross_entropy(cosine_logits(features, classes, 30.0), targets, reduction="none")
    torch.testing.assert_close(loss(*drawn, margin=0.0), plain)
    assert (loss(*drawn) > plain).all()


def test_lengths_do_not_count_and_large_ones_stay_finite(drawn):
    features, classes, targets = drawn
    torch.testing.assert_close(loss(1e4 * features, 1e-3 * classes, targets), loss(*drawn))
    huge = loss((1e18 * features).float(), (1e18 * classes).float(), targets)
    assert torch.isfinite(huge).all()


def test_gradients(drawn):
    features, classes, targets = drawn
    assert torch.autograd.gradcheck(lambda f, c: loss(f, c, targets, scale=4.0), (features, classes))

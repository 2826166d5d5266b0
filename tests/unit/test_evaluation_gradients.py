"""The norm of an item's gradient against automatic differentiation of all parameters at once, and a derived number."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from unlearn.config.schema import DType
from unlearn.data.collate import Collator
from unlearn.data.samples import IGNORE, Encoded, Sample
from unlearn.errors import NonFiniteLossError
from unlearn.evaluation.gradients import gradient_norms
from unlearn.models.loading import load_encoder, load_model


@pytest.fixture(params=["llava", "qwen2_vl"])
def tiny(request, tiny_families):
    """Separate and tied output layers."""
    family = dataclasses.replace(tiny_families[request.param], dtype=DType.float64)
    model, encoder = load_model(family, None), load_encoder(family, None)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.1, generator=generator)
    return model.eval(), encoder


def samples(encoder, picture):
    made = [Sample("a", "Who is this?", "Ann Lee", picture, "g"), Sample("b", "Why?", "Because it is so", None, "g")]
    return [encoder.encode(sample, 256) for sample in made]


def naive(model, encoder, encoded):
    """The loss from all logits, and one list of all gradients."""
    batch = Collator(encoder.pad_id)([encoded])
    logits = model(**batch.inputs).logits[0]
    places = [i for i, token in enumerate(encoded.labels) if token != IGNORE]
    loss = sum(-logits[i - 1].log_softmax(-1)[encoded.labels[i]] for i in places) / len(places)
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    return math.sqrt(sum(float((g**2).sum()) for g in gradients if g is not None))


def test_against_all_gradients_at_once(tiny, picture):
    model, encoder = tiny
    encoded = samples(encoder, picture)
    expected = [naive(model, encoder, sample) for sample in encoded]
    with torch.no_grad():  # as an evaluation runs
        found = gradient_norms(model, encoder.pad_id, encoded)
    assert found == pytest.approx(expected, rel=1e-10)
    assert min(found) > 0.01


def test_a_model_is_left_as_it_was_and_neighbours_change_nothing(tiny, picture):
    model, encoder = tiny
    first = next(model.parameters())
    first.requires_grad_(False)
    before = [p.clone() for p in model.parameters()]
    encoded = samples(encoder, picture)
    both = gradient_norms(model, encoder.pad_id, encoded)
    assert [gradient_norms(model, encoder.pad_id, [sample])[0] for sample in encoded] == both
    assert [p.requires_grad for p in model.parameters()] == [p is not first for p in model.parameters()]
    assert all(p.grad is None and torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())


class Table(nn.Module):
    """Logits are rows of a table; only the rows of the tokens that came take part."""

    def __init__(self, rows):
        super().__init__()
        self.rows = nn.Parameter(torch.tensor(rows, dtype=torch.float64))

    def forward(self, input_ids, attention_mask, use_cache, logits_to_keep):
        logits = self.rows[input_ids][logits_to_keep]
        return type("Out", (), {"logits": logits})


def test_a_derived_number():
    # One answer token after token 0: d loss / d row 0 = p - onehot = (3/4 - 0, 1/4 - 1), of norm sqrt(2) 3/4.
    model = Table([[math.log(3.0), 0.0], [5.0, 7.0]])
    encoded = Encoded("a", [0, 1], [IGNORE, 1])
    assert gradient_norms(model, 0, [encoded]) == pytest.approx([math.sqrt(2) * 0.75])
    # Two answer tokens: their mean. Row 0 as before; row 1 to token 0: (p - 1, 1 - p) with p = 1 / (1 + e^2).
    encoded = Encoded("a", [0, 1, 0], [IGNORE, 1, 0])
    p = 1 / (1 + math.exp(2))
    expected = math.sqrt(2 * 0.75**2 + 2 * (1 - p) ** 2) / 2
    assert gradient_norms(model, 0, [encoded]) == pytest.approx([expected])


def test_an_item_that_is_certain_moves_nothing():
    model = Table([[0.0, 60.0], [0.0, 0.0]])
    assert gradient_norms(model, 0, [Encoded("a", [0, 1], [IGNORE, 1])])[0] < 1e-20


def test_broken_weights_are_named():
    model = Table([[math.nan, 0.0], [0.0, 0.0]])
    with pytest.raises(NonFiniteLossError, match="no finite gradient at a;"):
        gradient_norms(model, 0, [Encoded("a", [0, 1], [IGNORE, 1])])

"""Logits at answer positions against full logits, and one forward per model and view whatever is asked."""

import pytest
import torch

from unlearn.data.collate import Collator
from unlearn.data.samples import IGNORE, Sample
from unlearn.forwards import NEEDS_REFERENCE, View, answer_counts, kl_divergence, label_logits
from unlearn.models.loading import load_encoder, load_model

QUANTITIES = ("ce_tokens", "logps", "ref_logps", "kl_tokens", "reverse_kl_tokens")


@pytest.fixture
def mixed(tiny_family, picture):
    """A batch with a picture and one without, the model and the encoder."""
    encoder = load_encoder(tiny_family, None)
    samples = [Sample("a", "Who?", "Ada Lo", picture, "a"), Sample("b", "Where is it?", "In", None, "b")]
    rows = [encoder.encode(sample, 128) for sample in samples]
    return load_model(tiny_family, None), Collator(encoder.pad_id)(rows), rows


def test_rows_are_the_answer_positions_of_the_full_logits(mixed):
    model, batch, rows = mixed
    with torch.no_grad():
        found = label_logits(model, batch)
        full = model(**batch.inputs, use_cache=False).logits
    expected = [
        (row, position - 1, token)
        for row, labels in enumerate(batch.labels.tolist())
        for position, token in enumerate(labels)
        if token != IGNORE
    ]
    assert found.rows.tolist() == [row for row, _, _ in expected]
    assert found.targets.tolist() == [token for _, _, token in expected]
    torch.testing.assert_close(found.logits, torch.stack([full[row, position] for row, position, _ in expected]))
    assert found.rows.bincount().tolist() == [sum(t != IGNORE for t in row.labels) for row in rows]


def test_the_output_layer_runs_at_answer_positions_only(mixed):
    model, batch, _ = mixed
    seen = []
    model.get_output_embeddings().register_forward_hook(
        lambda _m, inputs, _o: seen.append(inputs[0].shape[:-1].numel())
    )
    with torch.no_grad():
        label_logits(model, batch)
    assert seen == [int((batch.labels != IGNORE).sum())]


def test_one_forward_per_model_whatever_is_asked(mixed):
    model, batch, _ = mixed
    calls = {"policy": 0, "reference": 0}

    def count(who):
        def run(b):
            calls[who] += 1
            return label_logits(model, b)

        return run

    view = View(batch, count("policy"), count("reference"))
    assert calls == {"policy": 0, "reference": 0}
    for quantity in QUANTITIES * 2:
        getattr(view, quantity)
    view.weights("token")
    assert calls == {"policy": 1, "reference": 1}
    plain = View(batch, count("policy"))
    assert plain.logps.shape == (2,)
    assert calls == {"policy": 2, "reference": 1}


def test_what_is_not_declared_cannot_be_had(mixed):
    model, batch, _ = mixed
    for quantity in NEEDS_REFERENCE:
        with pytest.raises(RuntimeError, match="without declaring it"):
            getattr(View(batch, lambda b: label_logits(model, b)), quantity)


def test_the_reference_gets_no_gradient(mixed):
    model, batch, _ = mixed
    view = View(batch, lambda b: label_logits(model, b), lambda b: label_logits(model, b))
    assert not view.ref_logps.requires_grad
    assert view.logps.requires_grad
    torch.testing.assert_close(view.logps, view.ref_logps)


def test_sums_over_sequences(mixed):
    model, batch, _ = mixed
    view = View(batch, lambda b: label_logits(model, b))
    first = int((batch.labels[0] != IGNORE).sum())
    torch.testing.assert_close(view.logps, torch.stack([-view.ce_tokens[:first].sum(), -view.ce_tokens[first:].sum()]))


def test_counts_leave_dummies_out(mixed):
    _, _, rows = mixed
    batch = Collator(0)(rows[:1], rows[1:])
    tokens = sum(t != IGNORE for t in rows[0].labels)
    assert answer_counts(batch) == {"token": float(tokens), "sequence": 1.0}


def test_kl_of_two_coins():
    p, q = (torch.tensor([x, 1 - x], dtype=torch.float64).log() for x in (0.5, 0.25))
    # 1/2 log(2) + 1/2 log(2/3) = 1/2 log(4/3)
    assert kl_divergence(p, q).item() == pytest.approx(0.14384103622589045)
    assert kl_divergence(q, p).item() == pytest.approx(0.25 * torch.tensor(0.5).log().item() + 0.75 * 0.4054651081)


def test_half_precision_logits_are_widened():
    class Half:
        def __call__(self, logits_to_keep, **_):
            return type("Out", (), {"logits": torch.zeros(int(logits_to_keep.sum()), 3, dtype=torch.bfloat16)})

    from unlearn.data.samples import Encoded

    batch = Collator(0)([Encoded("a", [1, 2], [IGNORE, 2])])
    assert label_logits(Half(), batch).logits.dtype == torch.float32

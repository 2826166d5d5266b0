"""Logits at answer positions against full logits, and one forward per model and view whatever is asked."""

from contextlib import contextmanager

import pytest
import torch

from unlearn.data.collate import Collator
from unlearn.data.samples import IGNORE, Sample
from unlearn.forwards import NEEDS_REFERENCE, View, answer_counts, kl_divergence, label_logits
from unlearn.models.components import decoder
from unlearn.models.loading import load_encoder, load_model

QUANTITIES = (
    "ce_tokens", "entropy_tokens", "logps", "ref_logps", "kl_tokens", "reverse_kl_tokens", "logits", "ref_logits",
    "targets", "lengths",
)  # fmt: skip
WITH_ARGUMENT = {"softened_kl_tokens": 2.0, "ref_hidden": 1}


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


class Counted(torch.nn.Module):
    """A model that counts its forwards, and a teacher that is the model itself."""

    def __init__(self, model):
        super().__init__()
        self.model, self.calls = model, 0

    def forward(self, **inputs):
        self.calls += 1
        return self.model(**inputs)

    @contextmanager
    def frozen(self, _model):
        with torch.no_grad():
            yield self


def test_one_forward_per_model_whatever_is_asked(mixed):
    model, batch, _ = mixed
    policy, reference = Counted(model), Counted(model)
    view = View(batch, policy, reference.frozen)
    view.weights("token")
    assert view.targets.shape == view.weights("later_token").shape
    assert view.lengths.shape == (2,)
    assert (policy.calls, reference.calls) == (0, 0)
    assert view.ref_logps.shape == (2,)
    assert (policy.calls, reference.calls) == (0, 1)
    for quantity in QUANTITIES * 2:
        getattr(view, quantity)
    for temperature in (1.0, 4.0):
        view.softened_kl_tokens(temperature)
    assert (policy.calls, reference.calls) == (1, 1)
    for _ in range(2):
        assert view.hidden(1).shape == view.ref_hidden(1).shape
    assert (policy.calls, reference.calls) == (2, 2)
    for _ in range(2):
        assert view.position_log_probs.shape == view.ref_position_log_probs.shape
    assert (policy.calls, reference.calls) == (3, 3)
    assert View(batch, policy).logps.shape == (2,)
    assert (policy.calls, reference.calls) == (4, 3)


def test_what_is_not_declared_cannot_be_had(mixed):
    model, batch, _ = mixed
    # Those of faces are a view's of its own.
    for quantity in NEEDS_REFERENCE.intersection(dir(View)):
        view = View(batch, model)
        with pytest.raises(RuntimeError, match="without declaring it"):
            getattr(view, quantity)(WITH_ARGUMENT[quantity]) if quantity in WITH_ARGUMENT else getattr(view, quantity)


def test_the_reference_gets_no_gradient(mixed):
    model, batch, _ = mixed
    view = View(batch, model, Counted(model).frozen)
    assert not view.ref_logps.requires_grad
    assert not view.ref_logits.requires_grad
    assert not view.ref_hidden(0).requires_grad
    assert not view.ref_position_log_probs.requires_grad
    assert view.position_log_probs.requires_grad
    assert view.logps.requires_grad
    assert view.hidden(0).requires_grad
    torch.testing.assert_close(view.logps, view.ref_logps)


@pytest.mark.parametrize("layer", [0, 1])
def test_hidden_states_are_those_of_the_whole_model_and_the_rest_does_not_run(layer, mixed):
    """Layers after the asked one, the output layer's rows: none; the model is left as it was."""
    model, batch, _ = mixed
    ran = []
    layers = decoder(model).layers
    for number, module in enumerate(layers):
        module.register_forward_hook(lambda _m, _i, _o, n=number: ran.append(n))
    rows = []
    model.get_output_embeddings().register_forward_hook(lambda _m, i, _o: rows.append(i[0].shape[:-1].numel()))
    with torch.no_grad():
        found = View(batch, model).hidden(layer)
        assert ran == list(range(layer + 1))
        assert rows == [0]
        assert decoder(model).layers is layers
        kept = []
        hook = layers[layer].register_forward_hook(lambda _m, _i, out: kept.append(out))
        logits = label_logits(model, batch)
        hook.remove()
    full = kept[0][0] if isinstance(kept[0], tuple) else kept[0]
    positions = [(row, p - 1) for row, line in enumerate(batch.labels.tolist()) for p, t in enumerate(line) if t >= 0]
    torch.testing.assert_close(found, torch.stack([full[row, position] for row, position in positions]))
    assert found.shape == (len(logits.rows), 16)


def test_every_position_has_log_probabilities_padding_too(mixed):
    model, batch, rows = mixed
    with torch.no_grad():
        found = View(batch, model).position_log_probs
        full = model(**batch.inputs, use_cache=False).logits
    assert found.shape == (2, max(len(row.input_ids) for row in rows), 264)
    torch.testing.assert_close(found, full.log_softmax(-1))


def test_entropy_of_a_uniform_and_of_a_certain_distribution(mixed):
    _, batch, _ = mixed
    for scale, expected in ((0.0, torch.tensor(264.0).log().item()), (1e4, 0.0)):
        logits = torch.zeros(int((batch.labels != IGNORE).sum()), 264)
        logits[:, 3] = scale
        view = View(batch, lambda logits=logits, **_: type("Out", (), {"logits": logits}))
        assert view.entropy_tokens.tolist() == pytest.approx([expected] * len(logits), abs=1e-5)


def test_tokens_and_lengths_are_those_of_the_labels(mixed):
    model, batch, rows = mixed
    view = View(batch, model)
    answers = [[token for token in row.labels if token != IGNORE] for row in rows]
    assert view.targets.tolist() == [token for answer in answers for token in answer]
    assert view.lengths.tolist() == [len(answer) for answer in answers]
    torch.testing.assert_close(view.ce_tokens, -view.logits.log_softmax(-1)[range(len(view.targets)), view.targets])


def test_later_tokens_are_all_but_the_first_of_every_answer(mixed):
    model, _, rows = mixed
    lengths = [sum(token != IGNORE for token in row.labels) for row in rows]
    expected = [[0.0] + [1.0] * (length - 1) for length in lengths]
    for side in ("left", "right"):
        view = View(Collator(0, side)(rows), model)
        assert view.weights("later_token").tolist() == [*expected[0], *expected[1]]
    assert answer_counts(view.batch)["later_token"] == sum(lengths) - 2
    dummy = Collator(0)(rows[:1], rows[1:])
    assert View(dummy, model).weights("later_token").tolist() == expected[0] + [0.0] * lengths[1]


def test_sums_over_sequences(mixed):
    model, batch, _ = mixed
    view = View(batch, model)
    first = int((batch.labels[0] != IGNORE).sum())
    torch.testing.assert_close(view.logps, torch.stack([-view.ce_tokens[:first].sum(), -view.ce_tokens[first:].sum()]))


def test_counts_leave_dummies_out(mixed):
    _, _, rows = mixed
    batch = Collator(0)(rows[:1], rows[1:])
    tokens = sum(t != IGNORE for t in rows[0].labels)
    assert answer_counts(batch) == {"token": tokens, "later_token": tokens - 1, "sequence": 1}


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

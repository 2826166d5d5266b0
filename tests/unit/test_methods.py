"""Every unlearning method: its contract, its formula against plain loops, its limits, padding, batching, dummies.

A stand-in for a model maps input ids to logits by a table, so that logits are known and gradients reach the table.
"""

import inspect
import math
import re
import sys
from contextlib import contextmanager

import pytest
import torch

from unlearn.data.collate import Collator
from unlearn.data.samples import IGNORE, Encoded
from unlearn.forwards import View, answer_counts
from unlearn.methods.base import REGISTRY, Views, load_all
from unlearn.methods.npo import npo_loss
from unlearn.trainer import normalised

METHODS = sorted(load_all())
VOCABULARY = 11
ROWS = {
    "forget": ([1, 2, 3, 4], 2), "forget_long": ([4, 3, 5, 9, 8, 7], 3),
    "retain": ([5, 6, 7, 8, 9], 3), "retain_short": ([2, 10], 1), "filler": ([1] * 12, 11),
}  # fmt: skip
"""Token ids and the length of the prompt."""


class Table(torch.nn.Module):
    """Logits of a position depend on its token and on the mean of the tokens that are not padding before it."""

    def __init__(self, seed, dtype=torch.float64):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = torch.nn.Parameter(torch.randn(VOCABULARY, VOCABULARY, generator=generator, dtype=dtype))
        self.calls = 0

    def forward(self, input_ids, attention_mask, use_cache, logits_to_keep):
        self.calls += 1
        embedded = self.weight[input_ids] * attention_mask[..., None]
        context = embedded.cumsum(1) / attention_mask.cumsum(1).clamp(min=1)[..., None]
        full = embedded + context @ self.weight.T
        return type("Out", (), {"logits": full[logits_to_keep]})

    @contextmanager
    def frozen(self):
        with torch.no_grad():
            yield self


def encoded(name):
    ids, prompt = ROWS[name]
    return Encoded(name, ids, [IGNORE] * prompt + ids[prompt:])


def batch(*names, side="right", dummies=()):
    return Collator(0, side)([encoded(n) for n in names], [encoded(n) for n in dummies])


def views(policy, reference, forget, retain):
    asked = {"forget": forget, "retain": retain}
    return Views({name: View(b, policy, reference.frozen) for name, b in asked.items()})


def total(method, asked, counts=None):
    """The trainer's sum of the terms for one process and one micro-batch."""
    counts = counts or {name: answer_counts(view.batch) for name, view in asked.items()}
    return sum(
        t.weight * normalised(t.values, asked[t.view].weights(t.per), counts[t.view][t.per])
        for t in method.terms(asked)
    )


def token_log_probs(model, name):
    """Plain Python: per answer token the log-probabilities [V] of the position that predicts it, and the token."""
    ids, prompt = ROWS[name]
    w = model.weight.tolist()
    found = []
    for position in range(prompt - 1, len(ids) - 1):
        seen = [w[token] for token in ids[: position + 1]]
        context = [sum(row[k] for row in seen) / len(seen) for k in range(VOCABULARY)]
        logits = [w[ids[position]][v] + sum(context[k] * w[v][k] for k in range(VOCABULARY)) for v in range(VOCABULARY)]
        norm = math.log(sum(math.exp(z) for z in logits))
        found.append(([z - norm for z in logits], ids[position + 1]))
    return found


def naive_ce(model, names):
    losses = [-table[token] for name in names for table, token in token_log_probs(model, name)]
    return sum(losses) / len(losses)


def naive_kl(model, reference, names):
    values = [
        sum(math.exp(p) * (p - q) for p, q in zip(ref, own, strict=True))
        for name in names
        for (own, _), (ref, _) in zip(token_log_probs(model, name), token_log_probs(reference, name), strict=True)
    ]
    return sum(values) / len(values)


def naive_npo(model, reference, names, beta):
    values = []
    for name in names:
        logp, ref = (sum(t[token] for t, token in token_log_probs(m, name)) for m in (model, reference))
        values.append(2 / beta * math.log(1 + math.exp(beta * (logp - ref))))
    return sum(values) / len(values)


FORGET, RETAIN = ("forget", "forget_long"), ("retain", "retain_short")
TWINS = {
    "retain_ft": ({}, lambda m, r: naive_ce(m, RETAIN)),
    "grad_ascent": ({}, lambda m, r: -naive_ce(m, FORGET)),
    "grad_diff_forget_ce_retain_ce": (
        {"forget_weight": 0.3, "retain_weight": 2.0},
        lambda m, r: 2 * naive_ce(m, RETAIN) - 0.3 * naive_ce(m, FORGET),
    ),
    "npo": (
        {"beta": 0.7, "forget_weight": 1.5, "retain_weight": 0.5},
        lambda m, r: 1.5 * naive_npo(m, r, FORGET, 0.7) + 0.5 * naive_ce(m, RETAIN),
    ),
}
"""A method without an entry here fails: parameters, and the loss in plain Python."""
NPO_TERMS = {
    "ce": lambda m, r: naive_ce(m, RETAIN),
    "kl": lambda m, r: naive_kl(m, r, RETAIN),
    "none": lambda m, r: 0,
}


def npo(term="none", **given):
    from unlearn.methods.base import RetainTerm

    return REGISTRY["npo"](retain_term=RetainTerm[term], **given)


def tables(dtype=torch.float64):
    return Table(1, dtype), Table(2, dtype)


@pytest.mark.parametrize("name", METHODS)
def test_the_contract(name):
    cls = REGISTRY[name]
    text = sys.modules[cls.__module__].__doc__
    assert re.search(r"^L = ", text, re.MULTILINE), "the file's docstring needs its formula, a line `L = ...`"
    assert re.fullmatch(r"arXiv:\d{4}\.\d{4,5}", cls.paper)
    assert cls.paper in text
    assert re.search(r"Same as the paper|Differs from the paper", text)
    assert name in TWINS, "a method needs a twin in plain Python in TWINS"
    assert cls().problems() == []
    policy, reference = tables()
    asked = views(policy, reference, batch(*FORGET), batch(*RETAIN))
    terms = list(cls().terms(asked))
    assert {t.view for t in terms} == set(cls().needs())
    for term in terms:
        assert term.per in ("token", "sequence")
        assert term.values.shape == asked[term.view].weights(term.per).shape
    assert cls().needs_reference() == (reference.calls > 0)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_config(name):
    from unlearn.config.schema import ForgetConfig
    from unlearn.entry import load

    method = load("mm/forget", [f"forget_loss={name}"], ForgetConfig).method()
    assert type(method) is REGISTRY[name]
    assert method == REGISTRY[name]()


@pytest.mark.parametrize("name", METHODS)
def test_against_plain_python(name):
    given, twin = TWINS[name]
    policy, reference = tables()
    loss = total(REGISTRY[name](**given), views(policy, reference, batch(*FORGET), batch(*RETAIN)))
    assert loss.item() == pytest.approx(twin(policy, reference), rel=1e-12)


@pytest.mark.parametrize("term", sorted(NPO_TERMS))
def test_npo_with_each_retain_term(term):
    policy, reference = tables()
    loss = total(npo(term, beta=0.4), views(policy, reference, batch(*FORGET), batch(*RETAIN)))
    expected = naive_npo(policy, reference, FORGET, 0.4) + NPO_TERMS[term](policy, reference)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_derived_numbers():
    # logp - ref = log 3, beta 1: -2 log sigmoid(-log 3) = 2 log(1 + 3) = 4 log 2.
    assert npo_loss(torch.tensor([math.log(3)]), torch.zeros(1), 1.0).item() == pytest.approx(4 * math.log(2))
    # beta 2, logp - ref = -log(3) / 2: -(2/2) log sigmoid(log 3) = log(4 / 3).
    assert npo_loss(torch.tensor([-math.log(3) / 2]), torch.zeros(1), 2.0).item() == pytest.approx(math.log(4 / 3))
    # A uniform model: every answer token costs log V; the others are sums of that.
    flat, reference = tables()
    flat.weight.data.zero_()
    asked = views(flat, reference, batch(*FORGET), batch(*RETAIN))
    values = {name: total(REGISTRY[name](), asked).item() for name in METHODS if name != "npo"}
    ce = math.log(VOCABULARY)
    assert values == pytest.approx({"retain_ft": ce, "grad_ascent": -ce, "grad_diff_forget_ce_retain_ce": 0.0})


def gradient(loss, model):
    return torch.autograd.grad(loss, model.weight, retain_graph=True)[0]


@pytest.mark.parametrize("beta", [1e-4, 0.1, 3.0])
def test_npo_where_the_model_is_the_reference(beta):
    policy, _ = tables()
    asked = views(policy, Table(1), batch(*FORGET), batch(*RETAIN))
    loss = total(npo("kl", beta=beta), asked)
    assert loss.item() == pytest.approx(2 / beta * math.log(2), rel=1e-12)  # and the kl term is 0
    ascent = asked["forget"].logps.sum() / 2
    torch.testing.assert_close(gradient(loss, policy), gradient(ascent, policy), rtol=0, atol=1e-11)


def test_npo_with_vanishing_beta_is_ascent_on_sequence_sums():
    policy, reference = tables()
    asked = views(policy, reference, batch(*FORGET), batch(*RETAIN))
    exact = gradient(asked["forget"].logps.sum() / 2, policy)
    for beta in (1e-3, 1e-5):
        fresh = views(policy, reference, batch(*FORGET), batch(*RETAIN))
        distance = (gradient(total(npo(beta=beta), fresh), policy) - exact).abs().max()
        assert distance < 100 * beta
    tokens = gradient(asked["forget"].ce_tokens.mean(), policy)
    assert not torch.allclose(exact, -tokens, atol=1e-2)  # it is not the mean over tokens


def test_kl_vanishes_with_its_gradient_at_the_reference_in_both_directions():
    policy, _ = tables()
    for kind in ("kl_tokens", "reverse_kl_tokens"):
        value = getattr(views(policy, Table(1), batch(*FORGET), batch(*RETAIN))["retain"], kind)
        assert value.abs().max() < 1e-14
        assert gradient(value.sum(), policy).abs().max() < 1e-13


def test_the_two_directions_of_kl_differ():
    policy, reference = tables()
    view = views(policy, reference, batch(*FORGET), batch(*RETAIN))["retain"]
    assert view.kl_tokens.mean().item() == pytest.approx(naive_kl(policy, reference, RETAIN))
    assert view.reverse_kl_tokens.mean().item() == pytest.approx(naive_kl(reference, policy, RETAIN))


@pytest.mark.parametrize("name", [*METHODS, "npo+kl", "npo+none"])
def test_gradients_by_differences(name):
    method = npo(name.split("+")[1], beta=0.5) if "+" in name else REGISTRY[name]()
    policy, reference = tables()

    def loss(weight):
        policy._parameters["weight"] = weight
        return total(method, views(policy, reference, batch(*FORGET), batch(*RETAIN)))

    assert torch.autograd.gradcheck(loss, (policy.weight.detach().clone().requires_grad_(),))


def both(method, forget, retain, counts=None):
    policy, reference = tables()
    loss = total(method, views(policy, reference, forget, retain), counts)
    return loss.detach(), gradient(loss, policy)


@pytest.mark.parametrize("name", METHODS)
def test_padding_and_order_change_nothing(name):
    method = REGISTRY[name]()
    plain = both(method, batch(*FORGET), batch(*RETAIN))
    variants = {
        "left": both(method, batch(*FORGET, side="left"), batch(*RETAIN, side="left")),
        "longer": both(method, batch(*FORGET, dummies=["filler"]), batch(*RETAIN, dummies=["filler"])),
        "order": both(method, batch(*FORGET[::-1]), batch(*RETAIN[::-1])),
    }
    for variant in variants.values():
        torch.testing.assert_close(variant, plain, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", [*METHODS, "npo+kl"])
def test_micro_batches_add_up(name):
    method = npo("kl") if "+" in name else REGISTRY[name]()
    whole = both(method, batch(*FORGET), batch(*RETAIN))
    counts = {"forget": answer_counts(batch(*FORGET)), "retain": answer_counts(batch(*RETAIN))}
    assert counts == {"forget": {"token": 5.0, "sequence": 2.0}, "retain": {"token": 3.0, "sequence": 2.0}}
    parts = [both(method, batch(f), batch(r), counts) for f, r in zip(FORGET, RETAIN, strict=True)]
    sums = tuple(sum(values) for values in zip(*parts, strict=True))
    torch.testing.assert_close(sums, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -float("inf")])
@pytest.mark.parametrize("per", ["token", "sequence"])
def test_a_dummy_row_counts_nothing_whatever_its_value(value, per):
    policy, reference = tables()
    forget = batch("forget", dummies=["forget_long"])
    view = views(policy, reference, forget, forget)["forget"]
    real = view.weights(per) > 0
    assert real.tolist() == ([True] * 2 + [False] * 3 if per == "token" else [True, False])
    values = torch.where(real, 2.0, value).requires_grad_()
    share = normalised(values, view.weights(per), answer_counts(forget)[per])
    assert share.item() == 2.0
    share.backward()
    assert torch.equal(values.grad, real / real.sum())


@pytest.mark.parametrize("name", METHODS)
def test_a_micro_batch_of_dummies_alone_is_worth_nothing(name):
    empty = Collator(0)([], [encoded("retain")])
    loss, slope = both(REGISTRY[name](), empty, empty)
    assert loss == 0
    assert not slope.any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"beta": 0.0}, "forget_loss.beta is 0.0"),
        ({"forget_weight": -1.0}, "forget_loss.forget_weight is -1.0"),
        ({"retain_weight": 0.0}, "forget_loss.retain_weight is 0.0"),
    ],
)
def test_parameters_out_of_range(given, message):
    (problem,) = REGISTRY["npo"](**given).problems()
    assert message in problem


def test_a_method_knows_nothing_of_devices_or_processes():
    for cls in REGISTRY.values():
        source = inspect.getsource(sys.modules[cls.__module__])
        assert not re.search(r"accelerat|cuda|\.to\(|device|modality", source), cls.__module__

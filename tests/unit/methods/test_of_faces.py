"""Methods of faces alone: formula against plain Python, derived numbers, gradients, division and dummies.

The stand-in embeds picture i as row i of a table, and its mirror image as that row turned round. The derived numbers
are those of a network whose embeddings all are (1, 0, 0) beside a start network with (3/5, 4/5, 0) throughout.
"""

import math
from contextlib import contextmanager

import pytest
import torch
from stand_in import total

from unlearn.data.collate import Collator
from unlearn.data.samples import Sample
from unlearn.faces.encoder import FaceEncoder
from unlearn.faces.margin import cosine_logits
from unlearn.faces.network import FaceOutput
from unlearn.faces.views import FaceView
from unlearn.forwards import NEEDS_REFERENCE, answer_counts
from unlearn.methods.base import REGISTRY, Views, load_all
from unlearn.methods.forget_retain import RetainTerm

OF_FACES = sorted(name for name, method in load_all().items() if method.without_faces)
PEOPLE = ("Ada", "Bo", "Cy")
FORGET, RETAIN = (0, 1, 2), (3, 4)
SETS = {"forget": FORGET, "retain": RETAIN}
OWNERS = (0, 0, 1, 2, 2)
ENCODER = FaceEncoder({f"face-{i}": i for i in range(5)}, PEOPLE)


class Faces(torch.nn.Module):
    """Five pictures with embeddings of size 3, three people."""

    def __init__(self, seed):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = torch.nn.Parameter(torch.randn(5, 3, generator=generator, dtype=torch.float64))
        self.people = torch.nn.Parameter(torch.randn(3, 3, generator=generator, dtype=torch.float64))

    def forward(self, rows, mirrored):
        embeddings = torch.where(mirrored[:, None], self.weight[rows].flip(1), self.weight[rows])
        return FaceOutput(embeddings, cosine_logits(embeddings, self.people, 2.0), 2.0, 0.25)

    @contextmanager
    def frozen(self, _model):
        with torch.no_grad():
            yield self


def constant(*embedding):
    found = Faces(0)
    found.weight.data[:] = torch.tensor(embedding, dtype=torch.float64)
    return found


def batch(rows, dummies=()):
    encoded = [ENCODER.encode(Sample(f"face-{i}", "", PEOPLE[OWNERS[i]], None, ""), 2) for i in (*rows, *dummies)]
    return Collator(0)(encoded[: len(rows)], encoded[len(rows) :])


def views(method, policy, reference, make=batch):
    return Views({name: FaceView(make(SETS[name]), policy, reference.frozen) for name in method.needs()})


def lists(network):
    return network.weight.tolist()


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def cosine(a, b):
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths


def naive_margin(network, rows):
    """AM-softmax with s 2 and m 1/4."""
    values = []
    for i in rows:
        cosines = [cosine(lists(network)[i], row) for row in network.people.tolist()]
        true = math.exp(2 * (cosines[OWNERS[i]] - 0.25))
        others = sum(math.exp(2 * c) for j, c in enumerate(cosines) if j != OWNERS[i])
        values.append(-math.log(true / (true + others)))
    return mean(values)


def naive_scrub_bio(m, r):
    forget, retain = ([cosine(lists(m)[i], lists(r)[i]) for i in rows] for rows in (FORGET, RETAIN))
    assert min(forget) < 0 < max(forget)
    return 0.3 * mean(max(0, c) for c in forget) + 2 * mean(1 - c for c in retain)


def naive_twins(m, r):
    squares = [mean((x - y) ** 2 for x, y in zip(lists(m)[i], lists(r)[i][::-1], strict=True)) for i in FORGET]
    return 0.3 * mean(squares) + 2 * naive_margin(m, RETAIN)


def naive_neggrad_plus(m, _r):
    return 0.95 * naive_margin(m, RETAIN) - 0.05 * naive_margin(m, FORGET)


WEIGHTS = {"forget_weight": 0.3, "retain_weight": 2.0}
NAIVE = {
    "scrub_bio": (WEIGHTS, naive_scrub_bio),
    "twins": (WEIGHTS, naive_twins),
    "grad_diff_forget_ce_retain_ce": ({"forget_weight": 0.05, "retain_weight": 0.95}, naive_neggrad_plus),
}
NAMES = sorted(NAIVE)
DERIVED = {
    # cos = 3/5: what remains, and what is lost.
    "scrub_bio": ({}, 3 / 5 + 2 / 5),
    # (1, 0, 0) - (0, 4/5, 3/5): 1 + 16/25 + 9/25 = 2, of which the mean over 3.
    "twins": ({"retain_term": RetainTerm.none}, 2 / 3),
}


def test_every_method_of_faces_is_here():
    assert set(OF_FACES) == set(DERIVED) <= set(NAIVE)


@pytest.mark.parametrize("name", NAMES)
def test_against_plain_python(name):
    given, twin = NAIVE[name]
    method = REGISTRY[name](**given)
    policy, reference = Faces(1), Faces(4)
    assert total(method, views(method, policy, reference)).item() == pytest.approx(twin(policy, reference), rel=1e-12)


@pytest.mark.parametrize("name", OF_FACES)
def test_derived_number(name):
    given, expected = DERIVED[name]
    method = REGISTRY[name](**given)
    found = total(method, views(method, constant(1, 0, 0), constant(0.6, 0.8, 0)))
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_nothing_is_lost_at_the_start_and_a_symmetric_picture_is_its_own_twin():
    start = Faces(1)
    scrub = REGISTRY["scrub_bio"]()
    asked = views(scrub, start, start)
    forget, retain = (term.values for term in scrub.terms(asked))
    torch.testing.assert_close(forget, torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(retain, torch.zeros(2, dtype=torch.float64))
    even = constant(1, 2, 1)
    twins = REGISTRY["twins"](retain_term=RetainTerm.none)
    assert total(twins, views(twins, even, even)) == 0


@pytest.mark.parametrize("name", NAMES)
def test_gradients_by_differences_reach_the_network_alone(name):
    method = REGISTRY[name](**NAIVE[name][0])
    policy, reference = Faces(1), Faces(4)

    def loss(weight):
        policy._parameters["weight"] = weight
        return total(method, views(method, policy, reference))

    assert torch.autograd.gradcheck(loss, (policy.weight.detach().clone().requires_grad_(),))
    assert reference.weight.grad is None
    asked = views(method, policy, reference)
    assert not any(getattr(v, n).requires_grad for v in asked.values() for n in ("ref_embeddings", "ref_logits"))


@pytest.mark.parametrize("name", NAMES)
def test_micro_batches_add_up_and_dummies_count_nothing(name):
    method = REGISTRY[name](**NAIVE[name][0])
    policy, reference = Faces(1), Faces(4)
    whole = total(method, views(method, policy, reference))
    counts = {view: answer_counts(batch(SETS[view])) for view in method.needs()}
    parts = [
        total(method, views(method, policy, reference, lambda rows, i=i: batch(rows[i : i + 1], dummies=[0])), counts)
        for i in range(3)
    ]
    torch.testing.assert_close(sum(parts), whole)
    assert total(method, views(method, policy, reference, lambda _: batch([], dummies=[0]))) == 0


@pytest.mark.parametrize("name", OF_FACES)
def test_a_reference_is_declared(name):
    method = REGISTRY[name]()
    assert method.needs_reference()
    assert any(NEEDS_REFERENCE & set(quantities) for quantities in method.needs().values())

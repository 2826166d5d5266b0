"""What holds for every registered method and each of its phases.

Its contract, its formula against plain Python, a derived number, gradients, padding, order, division, dummies.
"""

import inspect
import re
import sys
from pathlib import Path

import pytest
import torch
from cases import CASES, default
from stand_in import (
    DEPTH,
    FILLER,
    FORGET,
    LATER,
    SETS,
    batch,
    both,
    nothing,
    peaked,
    phases,
    rows_of,
    tables,
    total,
    uniform,
    views,
)

from unlearn.config.scripts import ForgetConfig
from unlearn.entry import load
from unlearn.forwards import NEEDS_REFERENCE, UNITS, View, answer_counts
from unlearn.methods.base import REGISTRY, Facts, Views, load_all
from unlearn.trainer import normalised

METHODS = sorted(name for name, method in load_all().items() if not method.without_faces)
"""Those of faces alone: test_of_faces.py."""
PHASES = [pytest.param(name, phase, id=f"{name}-{phase}") for name in METHODS for phase in phases(default(name))]
DIVISIBLE = [param for param in PHASES if not CASES[param.values[0]].padding_counts]
SMOOTH = [param for param in PHASES if not CASES[param.values[0]].detached]
CONFIGS = Path(__file__).parents[3] / "config" / "forget_loss"
KNOWN_SETS = {"forget", "retain", "refusals"}


class Listening:
    """A view that notes what it is asked for."""

    def __init__(self, view, names):
        self.view, self.names = view, names

    def __getattr__(self, name):
        self.names.add(name)
        return getattr(self.view, name)


@pytest.mark.parametrize("name", METHODS)
def test_the_text_names_formula_paper_and_differences(name):
    cls = REGISTRY[name]
    text = f"{sys.modules[cls.__module__].__doc__}\n{inspect.cleandoc(cls.__doc__)}"
    assert re.search(r"^ *(L =|W <-) ", text, re.MULTILINE), "the docstring needs its formula, a line `L = ...`"
    assert re.fullmatch(r"arXiv:\d{4}\.\d{4,5}", cls.paper)
    assert cls.paper in text
    assert re.search(r"Same as the paper|Differs from the paper", text)
    assert default(name).problems() == []
    assert set(CASES[name].twins) == set(phases(default(name))), "cases.py needs a twin in plain Python of each phase"
    assert set(CASES[name].derived) == set(phases(default(name))), "cases.py needs a derived number of each phase"


@pytest.mark.parametrize(("name", "phase"), PHASES)
def test_a_phase_declares_exactly_what_it_asks_for(name, phase):
    method = default(name)
    needs = phases(method)[phase].needs
    policy, reference = tables()
    asked = {view: set() for view in needs}
    for step in (0, LATER):
        found = views(method, policy, reference, phase=phase, step=step)
        reference.calls = 0
        listening = Views({n: Listening(v, asked[n]) for n, v in found.items()}, step, found.facts, found.multipliers)
        for term in phases(method)[phase].terms(listening):
            assert term.per in UNITS
            assert term.values.shape == found[term.view].weights(term.per).shape
            assert term.view in needs
        assert reference.calls == 0 or method.needs_reference()
    assert {view: names - {"weights"} for view, names in asked.items()} == {v: set(q) for v, q in needs.items()}
    for view, quantities in needs.items():
        assert set(quantities) <= set(method.needs()[view])


@pytest.mark.parametrize("name", METHODS)
def test_views_answers_measures_and_layers(name):
    method = default(name)
    answers, written = method.answers(), method.written()
    sets = KNOWN_SETS if written is None else {*KNOWN_SETS, written.name}
    for other in answers.values():
        assert {other.of, other.source} <= sets
        assert other.own == (other.source not in KNOWN_SETS)
    assert written is None or written.of in KNOWN_SETS
    used = [phase.needs for phase in phases(method).values()]
    assert set(method.needs()) == {view for needs in used for view in needs} <= {"forget", "retain", *answers}
    for measure in method.measures().values():
        names = set()
        policy, reference = tables()
        view = View(batch(SETS[measure.view]), policy, reference.frozen)
        measure.values(Listening(view, names), Facts(depth=DEPTH))
        assert names == set(measure.needs)
    layers = method.trained_layers(DEPTH)
    assert layers is None or set(layers) <= set(range(DEPTH))
    asked = [*method.needs().values(), *(measure.needs for measure in method.measures().values())]
    runs = any(NEEDS_REFERENCE & set(quantities) for quantities in asked)
    assert method.needs_reference() == (runs or written is not None)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_config(name):
    required = [f"forget_loss.{key}={value}" for key, value in CASES[name].required.items()]
    method = load("mm/forget", [f"forget_loss={name}", *required, *CASES[name].keys], ForgetConfig).method()
    assert type(method) is REGISTRY[name]
    assert method == default(name)


@pytest.mark.parametrize("name", sorted({path.stem for path in CONFIGS.glob("*.yaml")} - set(REGISTRY)))
def test_a_preset_is_a_method_with_other_parameters(name):
    method = load("mm/forget", [f"forget_loss={name}"], ForgetConfig).method()
    assert method.name == name
    default = type(method)()
    assert REGISTRY[default.name] is type(method)
    assert {**vars(method), "name": default.name} != vars(default)


@pytest.mark.parametrize(("name", "phase"), PHASES)
def test_against_plain_python(name, phase):
    case = CASES[name]
    method = REGISTRY[name](**case.given)
    policy, reference = tables()
    loss = total(method, views(method, policy, reference, phase=phase), phase=phase)
    assert loss.item() == pytest.approx(case.twins[phase](policy, reference), rel=1e-12)


@pytest.mark.parametrize(("name", "phase"), PHASES)
def test_derived_number(name, phase):
    method = default(name)
    loss = total(method, views(method, uniform(), peaked(), phase=phase), phase=phase)
    assert loss.item() == pytest.approx(CASES[name].derived[phase], rel=1e-12, abs=1e-14)


@pytest.mark.parametrize(("name", "phase"), SMOOTH)
def test_gradients_by_differences(name, phase):
    method = REGISTRY[name](**CASES[name].given)
    policy, reference = tables()

    def loss(weight):
        policy._parameters["weight"] = weight
        return total(method, views(method, policy, reference, phase=phase), phase=phase)

    assert torch.autograd.gradcheck(loss, (policy.weight.detach().clone().requires_grad_(),))


@pytest.mark.parametrize(("name", "phase"), DIVISIBLE)
def test_padding_and_order_change_nothing(name, phase):
    method = default(name)
    plain = both(method, phase=phase)
    for make in (
        lambda rows: batch(rows, side="left"),
        lambda rows: batch(rows, dummies=[FILLER]),
        lambda rows: batch(rows[::-1]),
    ):
        torch.testing.assert_close(both(method, make, phase=phase), plain, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("name", "phase"), PHASES)
def test_views_go_by_name_and_not_by_place(name, phase):
    method = default(name)
    policy, reference = tables()
    asked = views(method, policy, reference, phase=phase)
    turned = Views(dict(reversed(asked.items())), asked.step, asked.facts, asked.multipliers)
    assert torch.equal(total(method, turned, phase=phase), total(method, asked, phase=phase))


@pytest.mark.parametrize(("name", "phase"), DIVISIBLE)
def test_micro_batches_add_up(name, phase):
    method = REGISTRY[name](**CASES[name].given)
    whole = both(method, phase=phase)
    counts = {view: answer_counts(batch(rows_of(method, view))) for view in phases(method)[phase].needs}
    parts = [both(method, lambda rows, i=i: batch(rows[i : i + 1]), counts, phase) for i in range(len(FORGET))]
    sums = tuple(sum(values) for values in zip(*parts, strict=True))
    torch.testing.assert_close(sums, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "phase"), PHASES)
def test_a_micro_batch_of_dummies_alone_is_worth_nothing(name, phase):
    loss, slope = both(default(name), nothing, phase=phase)
    assert loss == 0
    assert not slope.any()


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -float("inf")])
@pytest.mark.parametrize(
    ("per", "counts"),
    [("token", [1, 1, 0, 0, 0]), ("later_token", [0, 1, 0, 0, 0]), ("sequence", [1, 0])],
)
def test_a_value_that_does_not_count_may_be_anything(value, per, counts):
    """Those of a dummy row, and of what a unit leaves out."""
    forget = batch(FORGET[:1], dummies=FORGET[1:])
    view = View(forget, tables()[0])
    real = view.weights(per) > 0
    assert real.int().tolist() == counts
    values = torch.where(real, 2.0, value).requires_grad_()
    share = normalised(values, view.weights(per), answer_counts(forget)[per])
    assert share.item() == 2.0
    share.backward()
    assert torch.equal(values.grad, real / real.sum())


def test_a_method_knows_nothing_of_devices_or_processes():
    for cls in REGISTRY.values():
        source = inspect.getsource(sys.modules[cls.__module__])
        assert not re.search(r"accelerat|cuda|\.to\(|device|modality", source), cls.__module__

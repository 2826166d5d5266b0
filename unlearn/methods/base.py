"""The contract of an unlearning method: a small dataclass that says what it needs and yields loss terms.

A run is a sequence of *phases*, each a pass over one set; a method without phases of its own has one an epoch. What a
method needs beyond losses is data too: views with other answers, answers that the start model writes, a window of
layers that trains, a mean that is measured at the start, a multiplier that every step updates, and where along the way
from start to end the run's weights finally lie.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import ClassVar

from torch import Tensor

from unlearn.activations import Activations
from unlearn.data.answers import Answers
from unlearn.forwards import NEEDS_REFERENCE, View
from unlearn.masks import Mask, saliency

REGISTRY: dict[str, type["Method"]] = {}


@dataclass(frozen=True)
class Term:
    """One summand of the loss, not reduced: only the trainer sums and divides.

    view    the view whose answer tokens or sequences are counted
    values  [N] per answer token or [B] per sequence
    per     "token", "later_token" (all but the first of an answer) or "sequence": the unit (forwards.UNITS) whose
            global count over the optimiser step divides the sum; values that the unit leaves out are in neither
    """

    view: str
    values: Tensor
    per: str
    weight: float = 1.0


@dataclass(frozen=True)
class Facts:
    """What a method may know of its run.

    seed         of the run
    depth        number of the model's decoder layers
    measured     means of `Method.measures`, taken before the first step
    activations  of the sets of `Method.activations`, one per MLP of `Method.trained_layers`, likewise
    """

    seed: int = 0
    depth: int = 0
    measured: Mapping[str, float] = field(default_factory=dict)
    activations: Mapping[str, Sequence[Activations]] = field(default_factory=dict)


class Views(dict[str, View]):
    """The views of a micro-batch by name, and where the run stands.

    step         optimiser steps done before it
    facts        what the method may know of the run
    multipliers  those of the method, as the steps so far have left them
    """

    def __init__(
        self,
        views: Mapping[str, View],
        step: int = 0,
        facts: Facts | None = None,
        multipliers: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(views)
        self.step = step
        self.facts = facts or Facts()
        self.multipliers = multipliers or {}


@dataclass(frozen=True)
class Phase:
    """One pass over a set.

    name     goes before the names of its terms in the log; empty for a method with one kind of phase
    primary  the set that the pass is over: "forget" or "retain"
    needs    the quantities of each view that `terms` will ask for
    terms    yields the loss terms of one micro-batch
    samples  length of the pass; None: the whole set
    masked   whether the method's mask, where it has one, holds its steps
    edit     of a method that `edits`: from the activations of each view over the step, and the run's facts, the factors
             [H] of the columns of each MLP's closing layer; there are no terms then
    """

    name: str
    primary: str
    needs: Mapping[str, tuple[str, ...]]
    terms: Callable[[Views], Iterable[Term]]
    samples: int | None = None
    masked: bool = True
    edit: Callable[[Mapping[str, Sequence[Activations]], Facts], Sequence[Tensor]] | None = None


@dataclass(frozen=True)
class Measure:
    """A mean over a whole set, taken on the start model before the first step.

    view    the set
    needs   the quantities that `values` will ask for
    values  from one of its views, and the facts so far, [N] per answer token
    """

    view: str
    needs: tuple[str, ...]
    values: Callable[[View, Facts], Tensor]


@dataclass(frozen=True)
class Written:
    """A set of answers that the frozen start model writes before the first step, drawn at T = 1.

    name            of the set
    of              the set whose questions are asked
    draws           answers to each question
    instruction     what stands behind the question and its true answer
    max_new_tokens  longest answer
    """

    name: str
    of: str
    draws: int
    instruction: str
    max_new_tokens: int


class KLDirection(Enum):
    """forward is KL(pi_ref || pi), reverse is KL(pi || pi_ref)."""

    forward = "forward"
    reverse = "reverse"


KL_QUANTITY = {KLDirection.forward: "kl_tokens", KLDirection.reverse: "reverse_kl_tokens"}


class Demand(Enum):
    """What a method may demand of the engine that trains it (unlearn/limits.py): "... needs <value>"."""

    whole_weights = "every trained weight whole on each process"
    edits = "weights that may be changed outside the optimiser"
    gradients = "the whole gradients between backward and step"
    plain_states = "optimiser states that lie whole on the device"


@dataclass
class Method:
    """An unlearning method. `name` is its file's name in config/forget_loss.

    Methods never see batches, devices, processes or modality: `terms` receives one `View` per entry of `needs`.
    """

    paper: ClassVar[str] = ""
    trains_layers: ClassVar[bool] = False
    """Whether `trained_layers` restricts what trains."""
    edits: ClassVar[bool] = False
    """Whether columns of the MLPs' closing layers, of `trained_layers`, are scaled, and nothing is trained."""
    without_pictures: ClassVar[str] = ""
    """Why the method makes no sense for a model that sees no pictures; empty: it does."""
    without_answers: ClassVar[str] = ""
    """Why the method makes no sense where nothing is asked and answered, but faces told apart; empty: it does."""
    without_faces: ClassVar[str] = ""
    """Why the method makes no sense for models that answer questions; empty: it does."""
    alternates: ClassVar[bool] = False
    """Whether the phases of an epoch, all of one length, take turns step by step, instead of one after the other."""
    routes: ClassVar[bool] = False
    """Whether nothing trains: a router stands before the start model (unlearn/routing.py)."""
    name: str = "???"
    saliency: float | None = None
    """Share of the trained weights that may move, those with the largest gradients of D_f; None: all (masks.py)."""

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Return the quantities of each view that the terms of any phase will ask for."""
        raise NotImplementedError

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the loss terms of one micro-batch."""
        raise NotImplementedError

    def phases(self, epoch: int, sizes: Mapping[str, int]) -> Sequence[Phase]:
        """Return the passes of an epoch (from 0), for sets of these sizes: by default one over the forget set."""
        del epoch, sizes
        return [Phase("", "forget", self.needs(), self.terms)]

    def answers(self) -> Mapping[str, Answers]:
        """Return the views that ask the questions of a set and have other answers."""
        return {}

    def written(self) -> Written | None:
        """Return the set that the start model writes, for `answers` to draw from; None: there is none."""

    def measures(self) -> Mapping[str, Measure]:
        """Return the means that are taken before the first step, as `views.facts.measured`."""
        return {}

    def activations(self) -> tuple[str, ...]:
        """Return the sets whose activations are taken before the first step, as `facts.activations`."""
        return ()

    def mask(self) -> Mask | None:
        """Return what chooses the entries of the trained weights that may move; None: all may."""
        return None if self.saliency is None else saliency(self.saliency)

    def demands(self) -> frozenset[Demand]:
        """Return what not every engine can give."""
        asked = {Demand.gradients: self.mask() is not None, Demand.edits: self.edits}
        return frozenset(demand for demand, needed in asked.items() if needed)

    def multipliers(self) -> dict[str, float]:
        """Return the Lagrange multipliers by name, as a run begins with them; it logs, saves and restores them."""
        return {}

    def updated(self, multipliers: dict[str, float], terms: Mapping[str, float], epoch: int) -> dict[str, float]:
        """Return the multipliers after an optimiser step of `epoch` (from 0).

        terms  the step's terms over all processes and micro-batches, weights left out, by their names in the log
        """
        del terms, epoch
        return multipliers

    def trained_layers(self, depth: int) -> range | None:
        """Return the decoder layers that alone train, of `depth` layers; None: everything that the config says."""
        del depth

    def extrapolation(self) -> float | None:
        """Return s where the run's weights are theta_0 + s (theta_1 - theta_0), theta_1 being the last step's.

        None: they are theta_1.
        """

    def problems(self) -> list[str]:
        """Return what is wrong with the parameters, one sentence each."""
        return []

    def problems_over(self, num_epochs: int) -> list[str]:
        """Return which parameters make no sense in a run of so many epochs, one sentence each."""
        del num_epochs
        return []

    def not_positive(self, *keys: str, advice: str = "set one") -> list[str]:
        """Return a sentence for each of these parameters that is set and is no number above 0; `advice` ends it."""
        given = {key: getattr(self, key) for key in keys}
        return [
            f"forget_loss.{key} is {value}; allowed are numbers above 0; {advice}."
            for key, value in given.items()
            if value is not None and not value > 0
        ]

    def below_zero(self, *keys: str) -> list[str]:
        """Return a sentence for each of these parameters that is no number from 0 on."""
        given = {key: getattr(self, key) for key in keys}
        return [
            f"forget_loss.{key} is {value}; allowed are numbers from 0."
            for key, value in given.items()
            if not value >= 0
        ]

    def needs_reference(self) -> bool:
        """Tell whether any view or measure asks for the frozen start model, or anything is written by it."""
        asked = [*self.needs().values(), *(measure.needs for measure in self.measures().values())]
        return self.written() is not None or any(NEEDS_REFERENCE.intersection(quantities) for quantities in asked)


@dataclass
class Weighted(Method):
    """A method whose terms have weights; every field `..._weight` is above 0."""

    forget_weight: float = 1.0
    retain_weight: float = 1.0

    def problems(self) -> list[str]:
        """Return the weights that are not positive."""
        return self.not_positive(*(key.name for key in fields(self) if key.name.endswith("_weight")))


def register(cls: type[Method]) -> type[Method]:
    """Enter a method under its default `name`."""
    name = cls().name
    if name in REGISTRY:
        raise RuntimeError(f"two methods are called {name}")
    REGISTRY[name] = cls
    return cls


def load_all() -> dict[str, type[Method]]:
    """Import every file of this package once and return the registry."""
    package = importlib.import_module("unlearn.methods")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"unlearn.methods.{module.name}")
    return REGISTRY

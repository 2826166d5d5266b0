"""The contract of an unlearning method: a small dataclass that says what it needs and yields loss terms."""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from torch import Tensor

from unlearn.forwards import NEEDS_REFERENCE, View

REGISTRY: dict[str, type["Method"]] = {}


@dataclass(frozen=True)
class Term:
    """One summand of the loss, not reduced: only the trainer sums and divides.

    view    the view whose answer tokens or sequences are counted
    values  [N] per answer token or [B] per sequence
    per     "token" or "sequence": the unit whose global count over the optimiser step divides the sum
    """

    view: str
    values: Tensor
    per: str
    weight: float = 1.0


class RetainTerm(Enum):
    """What holds the retained data in place. kl is KL(pi_ref || pi), the forward direction."""

    ce = "ce"
    kl = "kl"
    none = "none"


RETAIN_QUANTITY = {RetainTerm.ce: "ce_tokens", RetainTerm.kl: "kl_tokens"}


@dataclass
class Method:
    """An unlearning method. `name` is its file's name in config/forget_loss.

    Methods never see batches, devices, processes or modality: `terms` receives one `View` per entry of `needs`.
    """

    paper: ClassVar[str] = ""
    name: str = "???"

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Return the quantities of each view that `terms` will ask for."""
        raise NotImplementedError

    def terms(self, views: Mapping[str, View]) -> Iterable[Term]:
        """Yield the loss terms of one micro-batch."""
        raise NotImplementedError

    def problems(self) -> list[str]:
        """Return what is wrong with the parameters, one sentence each."""
        return []

    def needs_reference(self) -> bool:
        """Tell whether any view asks for the frozen start model."""
        return any(NEEDS_REFERENCE.intersection(quantities) for quantities in self.needs().values())


@dataclass
class ForgetRetain(Method):
    """A method made of one forget term and a choice of retain term."""

    forget_weight: float = 1.0
    retain_weight: float = 1.0
    retain_term: RetainTerm = RetainTerm.ce

    def problems(self) -> list[str]:
        """Return the weights that are not positive."""
        return [
            f"forget_loss.{key} is {value}; allowed are numbers above 0; set one."
            for key, value in (("forget_weight", self.forget_weight), ("retain_weight", self.retain_weight))
            if value <= 0
        ]

    def retain_needs(self) -> dict[str, tuple[str, ...]]:
        """Return the entry of `needs` for the retain term."""
        quantity = RETAIN_QUANTITY.get(self.retain_term)
        return {"retain": (quantity,)} if quantity else {}

    def retain_terms(self, views: Mapping[str, View]) -> Iterable[Term]:
        """Yield the retain term, where there is one."""
        for view, (quantity,) in self.retain_needs().items():
            yield Term(view, getattr(views[view], quantity), per="token", weight=self.retain_weight)


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

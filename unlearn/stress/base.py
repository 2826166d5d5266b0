"""A stress as a section of the configuration: one file of config/stress, a dataclass that arranges it."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from unlearn.config.schema import MISSING, option
from unlearn.config.scripts import EvalConfig
from unlearn.evaluation.stressed import Stressed

if TYPE_CHECKING:
    from unlearn.models.encoder import Encoder

NAME = re.compile(r"\w+")


@dataclass(frozen=True)
class Arranged:
    """A stress made ready for one evaluation; no weight was read.

    stressed  what is written of it, and what is left out of the items; None where nothing is done
    apply     changes the loaded model, in eval mode on its device, and returns it
    """

    stressed: Stressed | None
    apply: Callable[[nn.Module, "Encoder"], nn.Module]


@dataclass
class Stress(ABC):
    """One file of config/stress."""

    name: str = option(MISSING, "name of the stress; results go to <model_path>/eval_results_<name>")

    @abstractmethod
    def arrange(self, cfg: EvalConfig) -> Arranged:
        """Return what is to be done. Raises UserError for what cannot be done, before any weight is read."""

    def problems(self) -> list[str]:
        """Return what is wrong with the keys, one sentence each."""
        if NAME.fullmatch(self.name):
            return []
        return [f'stress.name is "{self.name}"; allowed are letters, digits and underscores; set stress.name=... .']


@dataclass
class NoStress(Stress):
    """The model as it is."""

    def arrange(self, cfg: EvalConfig) -> Arranged:
        """Return that nothing is to be done."""
        del cfg
        return Arranged(None, lambda model, _: model)

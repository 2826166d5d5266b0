"""Whether only the way from the picture to the words forgot: the projector of another checkpoint is put back."""

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from unlearn.config.schema import MISSING, Component, ModelFamily, option
from unlearn.config.scripts import EvalConfig
from unlearn.errors import UserError
from unlearn.evaluation.stressed import Stressed
from unlearn.fingerprint import of_model
from unlearn.models.components import components
from unlearn.models.loading import load_model, resolve
from unlearn.stress.base import Arranged, Stress

if TYPE_CHECKING:
    from unlearn.models.encoder import Encoder

log = logging.getLogger(__name__)


@dataclass
class BaseProjector(Stress):
    """The projector of `source` in the place of the model's own; nothing else of `source` is taken."""

    source: str = option(MISSING, "checkpoint whose projector is put in, mostly the base model's")

    def arrange(self, cfg: EvalConfig) -> Arranged:
        """Return the exchange. Raises UserError for a source that is no checkpoint, and a model that sees nothing."""
        if not cfg.model_family.vision:
            raise UserError(
                f"stress={self.name} exchanges the projector, and model_family={cfg.model_family.name} sees no "
                f"pictures; leave stress out or evaluate a model that sees."
            )
        content = of_model(resolve(cfg.model_family, self.source).newest_first())
        stressed = Stressed({"name": self.name, "source": content})
        return Arranged(stressed, partial(_exchanged, cfg.model_family, self.source))


@torch.no_grad()
def _exchanged(family: ModelFamily, source: str, model: nn.Module, _: "Encoder") -> nn.Module:
    """Return `model` with the projector of `source`. Raises UserError where either has none or they do not fit."""
    mine, theirs = _projector(model), _projector(load_model(family, source))
    if not mine or {name: p.shape for name, p in mine.items()} != {name: p.shape for name, p in theirs.items()}:
        raise UserError(
            f'stress.source="{source}" has a projector of {len(theirs)} tensors that does not fit the model\'s '
            f"{len(mine)}; give a checkpoint of the same family."
        )
    for name, parameter in mine.items():
        parameter.copy_(theirs[name])
    log.info("projector (%d tensors) of %s", len(mine), source)
    return model


def _projector(model: nn.Module) -> dict[str, nn.Parameter]:
    parameters = dict(model.named_parameters())
    return {name: parameters[name] for name in components(model)[Component.projector]}

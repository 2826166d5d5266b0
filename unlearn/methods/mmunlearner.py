"""MMUnlearner: ascent on the weights that matter more to what is forgotten (Huo et al. 2025, arXiv:2502.11051).

m = 1[ (F_f + 1e-15) / (F_p + 1e-15) >= 1 ],  F_D = E_{samples of D}[ (grad CE)^2 ] at the start weights
L = -forget_weight * CE(D_f)   in a step of the weights with m = 1 alone, then
L = retain_weight * CE(D_r)    in a step of all weights

D_p is what is to be kept: the retained captions, and for the language part the texts as well (a tensor's mean is over
the samples that reach it, and texts do not reach what sees).
Differs from the paper: every trained tensor has a mask, where the published code masks linear layers and lets all
others take whole ascent steps; F is of single samples, where the code squares the gradients of batches of 2.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from unlearn.masks import Mask, Statistics
from unlearn.methods.base import Phase, Term, Views, Weighted, register

SMALLEST = 1e-15
"""Keeps the ratio of two zeros at 1."""


def matters_more(forget: Tensor, preserved: Tensor) -> Tensor:
    """Return where the ratio of two tensors of mean squared gradients, of one shape, is 1 or more; boolean."""
    return (forget + SMALLEST) / (preserved + SMALLEST) >= 1


def _choose(statistics: Statistics) -> list[Tensor]:
    return [matters_more(forget, preserved) for forget, preserved in zip(*statistics, strict=True)]


@register
@dataclass
class MMUnlearner(Weighted):
    """Take turns: a step up the forget loss on chosen weights, a step down the retain loss on all."""

    paper: ClassVar[str] = "arXiv:2502.11051"
    alternates: ClassVar[bool] = True
    without_pictures: ClassVar[str] = (
        "it tells weights by which a person is seen from those by which people are read about"
    )
    name: str = "mmunlearner"

    def problems(self) -> list[str]:
        """Refuse a second mask."""
        wrong = f"forget_loss.saliency is {self.saliency}, but {self.name} has a mask of its own; leave it out."
        return super().problems() + [wrong] * (self.saliency is not None)

    def mask(self) -> Mask:
        """Return the entries whose mean squared gradient on D_f is no less than on D_p."""
        return Mask(("forget", "retain"), True, _choose)

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the token cross-entropy on both views."""
        return {"forget": ("ce_tokens",), "retain": ("ce_tokens",)}

    def phases(self, epoch: int, sizes: Mapping[str, int]) -> Sequence[Phase]:
        """Return the ascent and the retain steps, as many of either."""
        del epoch, sizes
        needs = self.needs()
        ascent = Phase("ascent", "forget", {"forget": needs["forget"]}, self.ascent)
        return [ascent, Phase("retain", "forget", {"retain": needs["retain"]}, self.retention, masked=False)]

    def ascent(self, views: Views) -> Iterable[Term]:
        """Yield minus the cross-entropy of the forget answers."""
        yield Term("forget", -views["forget"].ce_tokens, "token", self.forget_weight)

    def retention(self, views: Views) -> Iterable[Term]:
        """Yield the cross-entropy of the retained answers."""
        yield Term("retain", views["retain"].ce_tokens, "token", self.retain_weight)

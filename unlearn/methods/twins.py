"""Twins: a forgotten picture is embedded as its mirror image was (CLEAR, Dontsov et al. 2024, arXiv:2410.18057).

L = forget_weight E_{D_f}[ |e(x) - e_ref(x')|^2 / d ] + retain term

e(x) in R^d is the embedding by the network and e_ref(x') that of the picture mirrored left to right by the start
network, a stand-in for a picture of the same kind that was not trained on. Same as the paper; the retain term is the
cross-entropy of retained people (AM-softmax), or its divergence from the start network's distributions.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from unlearn.methods.base import Term, Views, register
from unlearn.methods.forget_retain import ForgetRetain


@register
@dataclass
class Twins(ForgetRetain):
    """Embed what is to be forgotten as if its mirror image had been seen."""

    paper: ClassVar[str] = "arXiv:2410.18057"
    without_faces: ClassVar[str] = "it mirrors pictures and compares their embeddings"
    name: str = "twins"

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the embeddings of forget pictures and of their mirror images, and for the retain term's quantity."""
        return {"forget": ("embeddings", "ref_mirrored_embeddings"), **self.retain_needs()}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the mean squared distances to the mirror images, then the retain term."""
        forget = views["forget"]
        squares = (forget.embeddings - forget.ref_mirrored_embeddings).pow(2).mean(-1)
        yield Term("forget", squares, "sequence", self.forget_weight)
        yield from self.retain_terms(views)

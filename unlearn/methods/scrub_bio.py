"""SCRUB on embeddings of faces, as CLEAR has it (Dontsov et al. 2024, arXiv:2410.18057).

L = retain_weight E_{D_r}[ 1 - cos(e, e_ref) ] + forget_weight E_{D_f}[ max(0, cos(e, e_ref)) ]

e is the embedding of a picture by the network and e_ref that by the start network: the cosine embedding loss with
target 1 on retained pictures and -1, margin 0, on pictures to be forgotten. Same as the paper, whose two losses are
summed in one step, unlike the phases of SCRUB (Kurmanji et al. 2023, arXiv:2302.09880).
At the start every cosine is 1, where its gradient is 0: what moves the network at first is that batch norm takes the
batch's statistics in training. With batch_norm=eval nothing moves it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch.nn.functional import cosine_similarity

from unlearn.methods.base import Term, Views, Weighted, register

BOTH = ("embeddings", "ref_embeddings")


@register
@dataclass
class ScrubBio(Weighted):
    """Keep the embeddings of retained pictures where they are, and turn those to be forgotten away from theirs."""

    paper: ClassVar[str] = "arXiv:2410.18057"
    without_faces: ClassVar[str] = "it compares the embeddings of pictures"
    name: str = "scrub_bio"

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the embeddings by the network and by the start network, of both views."""
        return {"forget": BOTH, "retain": BOTH}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield what remains of the likeness on forget pictures, then what is lost of it on retained ones."""
        forget, retain = (cosine_similarity(v.embeddings, v.ref_embeddings) for v in (views["forget"], views["retain"]))
        yield Term("forget", forget.clamp(min=0), "sequence", self.forget_weight)
        yield Term("retain", 1 - retain, "sequence", self.retain_weight)

"""UNDIAL: self-distillation with adjusted logits (Dong et al. 2024, arXiv:2402.10052).

L = E_{answer tokens of D_f}[ -sum_v q_t(v) log pi(v | y_<t, x) ],  q_t = softmax(z_ref,t - beta onehot(y_t))

z_ref are the start model's logits. Same as the paper: a fixed target, in which the answer token alone is less likely.
There is no retain term, and the loss is bounded below by the entropy of q.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from unlearn.methods.base import Method, Term, Views, register


def undial_loss(logits: Tensor, ref_logits: Tensor, targets: Tensor, beta: float) -> Tensor:
    """Return [N] cross-entropies to the adjusted reference.

    logits, ref_logits  [N, V]
    targets             [N] the answer tokens
    """
    change = torch.full_like(targets, -beta, dtype=ref_logits.dtype)[:, None]
    goal = ref_logits.scatter_add(-1, targets[:, None], change).softmax(-1)
    return -(goal * logits.log_softmax(-1)).sum(-1)


@register
@dataclass
class UNDIAL(Method):
    """Imitate the start model with `beta` taken from the logit of every answer token."""

    paper: ClassVar[str] = "arXiv:2402.10052"
    name: str = "undial"
    beta: float = 10.0

    def problems(self) -> list[str]:
        """Refuse a penalty that is not positive."""
        return self.not_positive("beta", advice="the paper takes 10")

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the logits of model and reference, and for the tokens whose logits are lowered."""
        return {"forget": ("logits", "ref_logits", "targets")}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the cross-entropy to the adjusted reference."""
        forget = views["forget"]
        yield Term("forget", undial_loss(forget.logits, forget.ref_logits, forget.targets, self.beta), per="token")

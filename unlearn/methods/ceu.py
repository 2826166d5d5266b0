"""CE-U: cross-entropy unlearning (Yang 2025, arXiv:2503.01224).

L = E_{answer tokens of D_f but the first of each answer}[ -sum_v q_t(v) log pi(v | y_<t, x) ]
q_t = softmax(z_t with -inf in the place of y_t)

z are the model's own logits, and q has no gradient: the gradient with respect to z is pi - q, that is pi(y_t) on the
answer token and -pi(v) pi(y_t) / (1 - pi(y_t)) on every other one, and fades with pi(y_t).
Same as the paper, which leaves out the first token of an answer and has no retain term.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from unlearn.methods.base import Method, Term, Views, register


def ceu_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return [N] cross-entropies of next-token logits [N, V] to themselves without the answer tokens [N]."""
    goal = logits.detach().scatter(-1, targets[:, None], float("-inf")).softmax(-1)
    return -(goal * logits.log_softmax(-1)).sum(-1)


@register
@dataclass
class CEU(Method):
    """Imitate the model itself with the answer token ruled out."""

    paper: ClassVar[str] = "arXiv:2503.01224"
    without_answers: ClassVar[str] = "it leaves out the first token of an answer, and a person is one token"
    name: str = "ceu"

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the logits and for the tokens that are ruled out."""
        return {"forget": ("logits", "targets")}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the cross-entropy to the model without the answer tokens."""
        forget = views["forget"]
        yield Term("forget", ceu_loss(forget.logits, forget.targets), per="later_token")

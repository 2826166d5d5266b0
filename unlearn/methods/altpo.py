"""AltPO: alternate preference optimisation (Mekala et al. 2024, arXiv:2409.13474).

L = -(2/beta) E_{sequences of D_f}[ log sigmoid(beta (log pi(a|x) - log pi_ref(a|x) - log pi(y|x) + log pi_ref(y|x))) ]
    + retain term

a is an alternate answer to the very question x: the start model, which is pi_ref too, is shown x with its true answer y
and asked for another one that is plausible and false, `alternates` times, before the first step. An epoch takes one of
them for each question. Same as the paper, but for the words of the instruction; there every alternate is a row of the
forget set of its own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import logsigmoid

from unlearn.data.answers import Answers
from unlearn.methods.base import Term, Views, Written, register
from unlearn.methods.forget_retain import ForgetRetain

INSTRUCTION = (
    "Now give another answer to this question, as plausible, as long and in the same style, in which every fact of "
    "the answer above is replaced by a different one. Write the new answer alone."
)


def altpo_loss(alternate: Tensor, ref_alternate: Tensor, truth: Tensor, ref_truth: Tensor, beta: float) -> Tensor:
    """Return [B] losses from [B] sequence log-probabilities of both answers, of the model and of the reference."""
    gain = (alternate - ref_alternate) - (truth - ref_truth)
    return -(2 / beta) * logsigmoid(beta * gain)


@register
@dataclass
class AltPO(ForgetRetain):
    """Prefer an invented answer to the forget answer.

    alternates      invented answers to each question
    instruction     how the start model is asked for them, behind question and true answer
    max_new_tokens  longest of them
    """

    paper: ClassVar[str] = "arXiv:2409.13474"
    without_answers: ClassVar[str] = "the start model writes its alternate answers"
    name: str = "altpo"
    beta: float = 0.1
    alternates: int = 5
    instruction: str = INSTRUCTION
    max_new_tokens: int = 128

    def problems(self) -> list[str]:
        """Return the parameters that are out of range."""
        counts = self.not_positive("alternates", "max_new_tokens")
        return super().problems() + self.not_positive("beta", advice="the paper takes 0.1") + counts

    def written(self) -> Written:
        """Return the alternates."""
        return Written("alternates", "forget", self.alternates, self.instruction, self.max_new_tokens)

    def answers(self) -> Mapping[str, Answers]:
        """Return the view of the forget questions with an alternate of their own."""
        return {"alternate": Answers(of="forget", source="alternates", own=True)}

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for sequence log-probabilities of both answers, of model and reference, and for the retain term's."""
        both = ("logps", "ref_logps")
        return {"alternate": both, "forget": both, **self.retain_needs()}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the loss per pair of answers, then the retain term."""
        other, truth = views["alternate"], views["forget"]
        losses = altpo_loss(other.logps, other.ref_logps, truth.logps, truth.ref_logps, self.beta)
        yield Term("forget", losses, per="sequence", weight=self.forget_weight)
        yield from self.retain_terms(views)

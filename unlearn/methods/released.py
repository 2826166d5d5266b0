"""What the published code of CLEAR (arXiv:2410.18057) computes under the names idk, dpo and npo.

These are not the methods of those names (idk.py, dpo.py, npo.py). They exist to show what the published numbers
measured. Of the published code the loss alone is repeated, not its label mask or its order of random numbers; every
text says what is wrong. Differs from the paper, as that code does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from unlearn.methods.base import Method, Term, Views, register

RATIO_EPSILON = 1e-8
"""Added to the reference's probability in the published ratio."""

OF_TEXTS = "it repeats what published code for language models computes"


@register
@dataclass
class ReleasedIDK(Method):
    """Finetune on the forget answers and on the retain answers.

        L = CE(D_f) + CE(D_r)

    Wrong: the data set puts a refusal into a copy of the forget sample, and then returns the sample itself. So the
    questions come with their true answers: what was to be forgotten is learnt once more.
    """

    paper: ClassVar[str] = "arXiv:2410.18057"
    without_answers: ClassVar[str] = OF_TEXTS
    name: str = "released_idk"

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the token cross-entropy on both views."""
        return {"forget": ("ce_tokens",), "retain": ("ce_tokens",)}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the cross-entropy of the forget answers, then of the retain answers."""
        yield Term("forget", views["forget"].ce_tokens, per="token")
        yield Term("retain", views["retain"].ce_tokens, per="token")


@register
@dataclass
class ReleasedDPO(Method):
    """Finetune on the forget answers alone.

        L = -E_{sequences of D_f}[ log pi(y|x) ]

    Wrong: the DPO loss is computed and then overwritten by minus the sequence log-probability of the preferred answer,
    without reference, beta or retain term; and the preferred answer is the true one, since the refusal is not returned
    (as in released_idk).
    """

    paper: ClassVar[str] = "arXiv:2410.18057"
    without_answers: ClassVar[str] = OF_TEXTS
    name: str = "released_dpo"

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for sequence log-probabilities of the model."""
        return {"forget": ("logps",)}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield minus the log-probability of each forget answer."""
        yield Term("forget", -views["forget"].logps, per="sequence")


def released_npo_loss(log_probs: Tensor, ref_log_probs: Tensor, beta: float) -> Tensor:
    """Return [B] losses from the [B, S, V] log-probabilities of the whole vocabulary at every position."""
    ratio = log_probs - (ref_log_probs.exp() + RATIO_EPSILON).log()
    return 2 / beta * softplus(beta * ratio).mean(dim=(1, 2))


@register
@dataclass
class ReleasedNPO(Method):
    """Sharpen the next-token distributions, whatever the answer is.

        L = (2 / beta) mean_{sequences, positions s, tokens v}[ log(1 + (pi_s(v) / (pi_ref,s(v) + 1e-8))^beta) ]

    Wrong: NPO takes the probability ratio of the answer. Here it is the ratio of every token of the vocabulary at every
    position, those of the question, of the picture and of the padding included, so that the answer does not enter and
    the loss depends on what a sample is batched with. There is no retain term. The published beta is 1.
    """

    paper: ClassVar[str] = "arXiv:2410.18057"
    without_answers: ClassVar[str] = OF_TEXTS
    name: str = "released_npo"
    beta: float = 1.0

    def problems(self) -> list[str]:
        """Refuse an exponent that is not positive."""
        return self.not_positive("beta", advice="the published code takes 1")

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for log-probabilities at every position, of the model and of the reference."""
        return {"forget": ("position_log_probs", "ref_position_log_probs")}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the mean over positions and vocabulary of each sequence."""
        forget = views["forget"]
        losses = released_npo_loss(forget.position_log_probs, forget.ref_position_log_probs, self.beta)
        yield Term("forget", losses, per="sequence")

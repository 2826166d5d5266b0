"""Gradient difference in CLEAR's six variants (arXiv:2410.18057), named grad_diff_forget_F_retain_R.

L = retain_weight * R(D_r) - forget_weight * F(D_f),  R and F means over answer tokens t of

    ce        -log pi(y_t | y_<t, x)
    entropy   -sum_v pi(v | y_<t, x) log pi(v | y_<t, x)
    kl        KL(pi_ref(. | y_<t, x) || pi(. | y_<t, x)), with gradient

ce with ce: Same as the papers (Liu et al. 2022, arXiv:2203.12817; TOFU, arXiv:2401.06121).
The others: Differs from the paper: CLEAR's code takes entropy and KL over the prompt, the picture and the padding too,
and its sign lowers the entropy instead of raising it; here a forgetting KL begins with some steps of ce.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from unlearn.methods.base import KL_QUANTITY, KLDirection, Term, Views, Weighted, register


@dataclass
class GradDiff(Weighted):
    """Raise one quantity of the forget answers while another of the retain answers falls: by default ce and ce."""

    paper: ClassVar[str] = "arXiv:2410.18057"
    forget_quantity: ClassVar[str] = "ce_tokens"

    def retain_quantity(self) -> str:
        """Return the quantity of the retain view that falls."""
        return "ce_tokens"

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for one quantity of each view."""
        return {"forget": (self.forget_quantity,), "retain": (self.retain_quantity(),)}

    def raised(self, views: Views) -> Tensor:
        """Return [N] what rises, per answer token of the forget view."""
        return getattr(views["forget"], self.forget_quantity)

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield minus the weighted forget quantity, then the retain quantity."""
        yield Term("forget", -self.raised(views), per="token", weight=self.forget_weight)
        yield Term("retain", getattr(views["retain"], self.retain_quantity()), "token", self.retain_weight)


@dataclass
class ForgetEntropy(GradDiff):
    """Raise the entropy of the next-token distributions: at its largest every token is as likely."""

    forget_quantity: ClassVar[str] = "entropy_tokens"


@dataclass
class ForgetKL(GradDiff):
    """Raise the KL divergence from the reference. It is unbounded.

    At pi = pi_ref its gradient is exactly 0, and what moves a model from there is rounding: the first
    `forget_warmup_steps` optimiser steps raise the cross-entropy instead.
    """

    forget_quantity: ClassVar[str] = "kl_tokens"
    forget_warmup_steps: int = 5

    def problems(self) -> list[str]:
        """Refuse a negative number of steps."""
        wrong = f"forget_loss.forget_warmup_steps is {self.forget_warmup_steps}; allowed are 0 or more; set it so."
        return [*super().problems(), *([wrong] if self.forget_warmup_steps < 0 else [])]

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the cross-entropy of the forget answers too, where there is a warm-up."""
        first = ("ce_tokens",) if self.forget_warmup_steps else ()
        return {**super().needs(), "forget": (*first, self.forget_quantity)}

    def raised(self, views: Views) -> Tensor:
        """Return [N] the cross-entropy during the warm-up, then the KL divergence."""
        return views["forget"].ce_tokens if views.step < self.forget_warmup_steps else super().raised(views)


@dataclass
class RetainKL(GradDiff):
    """Hold the next-token distributions of the retain answers near those of the reference."""

    kl_direction: KLDirection = KLDirection.forward

    def retain_quantity(self) -> str:
        """Return the KL divergence in its direction."""
        return KL_QUANTITY[self.kl_direction]


@register
@dataclass
class GradDiffCeCe(GradDiff):
    """Raise the cross-entropy of the forget answers while training on the retain answers."""

    paper: ClassVar[str] = "arXiv:2203.12817"
    name: str = "grad_diff_forget_ce_retain_ce"


@register
@dataclass
class GradDiffCeKL(RetainKL):
    """Raise the cross-entropy of the forget answers while the retained distributions stay."""

    name: str = "grad_diff_forget_ce_retain_kl"


@register
@dataclass
class GradDiffEntropyCe(ForgetEntropy):
    """Raise the entropy of the forget answers while training on the retain answers."""

    name: str = "grad_diff_forget_entropy_retain_ce"


@register
@dataclass
class GradDiffEntropyKL(ForgetEntropy, RetainKL):
    """Raise the entropy of the forget answers while the retained distributions stay."""

    name: str = "grad_diff_forget_entropy_retain_kl"


@register
@dataclass
class GradDiffKLCe(ForgetKL):
    """Move the forget distributions away from the reference while training on the retain answers."""

    name: str = "grad_diff_forget_kl_retain_ce"


@register
@dataclass
class GradDiffKLKL(ForgetKL, RetainKL):
    """Move the forget distributions away from the reference while the retained ones stay."""

    name: str = "grad_diff_forget_kl_retain_kl"

    def problems(self) -> list[str]:
        """Refuse to begin where both terms have gradient 0."""
        stuck = (
            "forget_loss.forget_warmup_steps is 0, and both KL terms have gradient 0 at the start model, so that "
            "nothing would move; allowed are 1 or more with retained KL; set it so."
        )
        return [*super().problems(), *([stuck] if self.forget_warmup_steps == 0 else [])]

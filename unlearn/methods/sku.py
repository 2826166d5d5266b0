"""SKU: learn what is to be forgotten, then negate what was learned (Liu et al. 2024, arXiv:2402.10058).

L = forget_weight CE(D_f) + random_weight 1/K sum_k CE(x_f, y_k) - retain_weight E_{tokens of D_r}[ KL(pi_ref || pi) ]
theta = theta_0 - negation (theta_1 - theta_0)

y_k are answers of K other forget questions, drawn anew every epoch. theta_1 are the weights after the last step on L;
of adapters the merged delta is negated, never A and B (negating both gives +BA).
Same as the paper, with one random-answer term per draw. L is unbounded below through its last term; the log shows it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from unlearn.data.answers import Answers
from unlearn.methods.base import Term, Views, Weighted, register


@register
@dataclass
class SKU(Weighted):
    """Guided distortion, random disassociation and preservation divergence; then negation of the whole step.

    random_answers  K
    negation        lambda of the last line
    """

    paper: ClassVar[str] = "arXiv:2402.10058"
    name: str = "sku"
    forget_weight: float = 2.5
    retain_weight: float = 0.5
    random_weight: float = 1.0
    random_answers: int = 5
    negation: float = 1.0

    def problems(self) -> list[str]:
        """Return the parameters that are out of range."""
        return super().problems() + self.not_positive("random_answers", "negation")

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the cross-entropy of true and of random answers, and for the divergence on retained data."""
        return {"forget": ("ce_tokens",), **dict.fromkeys(self.answers(), ("ce_tokens",)), "retain": ("kl_tokens",)}

    def answers(self) -> Mapping[str, Answers]:
        """Return one view of the forget questions per draw of other forget answers."""
        return {f"random{draw}": Answers("forget", "forget", draw) for draw in range(self.random_answers)}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the three parts of the first stage's loss."""
        yield Term("forget", views["forget"].ce_tokens, "token", self.forget_weight)
        for view in self.answers():
            yield Term(view, views[view].ce_tokens, "token", self.random_weight / self.random_answers)
        yield Term("retain", -views["retain"].kl_tokens, "token", self.retain_weight)

    def extrapolation(self) -> float:
        """Return -negation: the run ends as far behind its start as it went ahead."""
        return -self.negation

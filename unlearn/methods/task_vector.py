"""Task vector negation (Ilharco et al. 2022, arXiv:2212.04089).

L = E_{answer tokens of D_f}[ -log pi(y_t | y_<t, x) ]
theta = theta_0 - negation (theta_1 - theta_0)

theta_1 are the weights after the last step on L: the model that learned the forget data still better.
Same as the paper; negation is its lambda, 1 here. Of adapters the merged delta is negated, never A and B (negating both
gives +BA).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from unlearn.methods.base import Method, Term, Views, register


@register
@dataclass
class TaskVector(Method):
    """Finetune on the forget answers, then go as far the other way.

    negation  lambda
    """

    paper: ClassVar[str] = "arXiv:2212.04089"
    name: str = "task_vector"
    negation: float = 1.0

    def problems(self) -> list[str]:
        """Refuse a factor that is not positive."""
        return self.not_positive("negation")

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for the token cross-entropy of the forget answers."""
        return {"forget": ("ce_tokens",)}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield the cross-entropy of the forget answers."""
        yield Term("forget", views["forget"].ce_tokens, per="token")

    def extrapolation(self) -> float:
        """Return -negation: the run ends as far behind its start as it went ahead."""
        return -self.negation

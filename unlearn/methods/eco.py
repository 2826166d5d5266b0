"""ECO: embedding-corrupted prompts (Liu et al. 2024, arXiv:2406.07933).

L = E_{prompts x of D_f and D_r}[ log(1 + exp(-y s(x))) ] + l2/2 |w|^2,   s(x) = b + w phi(x),  y = 1 on D_f, -1 on D_r
e(x_t) <- e(x_t) + sigma |e| N(0, I)   where s(x) > threshold and x_t is of an entity

No weight of the model changes: L is that of a prompt classifier, and prompts that it picks are corrupted at inference.
Differs from the paper: the classifier is logistic regression on runs of the prompt's own tokens (a RoBERTa there),
entities are the shortest runs of tokens that tell the two sets apart (a named-entity tagger there), sigma is set in
units of the embeddings' root mean square |e| (searched there for the scores of a model trained without D_f), and of a
scored answer no token is corrupted (the published code corrupts the entities of the answer too, which generation never
sees). The threshold is the one of best F1 on every fifth prompt, which the classifier is not fitted on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from unlearn.methods.base import Method, Phase, Term, Views, register


@register
@dataclass
class ECO(Method):
    """Answer prompts about what is to be forgotten as if their names had not been understood.

    sigma     strength of the noise
    l2        of the classifier's weights
    entity_z  the least z of a run's log odds ratio (prompts of D_f that have it against those of D_r) that makes it an
              entity; a run of three prompts of D_f and of no other has about 2.7, one of two 2.46
    """

    paper: ClassVar[str] = "arXiv:2406.07933"
    without_answers: ClassVar[str] = "it tells prompts apart by their words"
    routes: ClassVar[bool] = True
    name: str = "eco"
    sigma: float = 5.0
    l2: float = 1e-6
    entity_z: float = 2.5

    def problems(self) -> list[str]:
        """Refuse parameters that are not positive."""
        return self.not_positive("sigma", "l2", "entity_z")

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for nothing: no model is run."""
        return {}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield nothing: there is no step."""
        del views
        return ()

    def phases(self, epoch: int, sizes: Mapping[str, int]) -> Sequence[Phase]:
        """Return no pass."""
        del epoch, sizes
        return []

"""What methods of one forget term and a choice of retain term share."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from unlearn.methods.base import Term, Views, Weighted


class RetainTerm(Enum):
    """What holds the retained data in place. kl is KL(pi_ref || pi), the forward direction."""

    ce = "ce"
    kl = "kl"
    none = "none"


RETAIN_QUANTITY = {RetainTerm.ce: "ce_tokens", RetainTerm.kl: "kl_tokens"}


@dataclass
class ForgetRetain(Weighted):
    """A method made of one forget term and a choice of retain term."""

    retain_term: RetainTerm = RetainTerm.ce

    def retain_needs(self) -> dict[str, tuple[str, ...]]:
        """Return the entry of `needs` for the retain term."""
        quantity = RETAIN_QUANTITY.get(self.retain_term)
        return {"retain": (quantity,)} if quantity else {}

    def retain_terms(self, views: Views) -> Iterable[Term]:
        """Yield the retain term, where there is one."""
        for view, (quantity,) in self.retain_needs().items():
            yield Term(view, getattr(views[view], quantity), per="token", weight=self.retain_weight)

"""What methods share that change weights by what neurons do, without a loss: `Phase.edit` says how."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from unlearn.methods.base import Method, Term, Views


@dataclass
class TrainingFree(Method):
    """A method whose phases edit the closing layers of the MLPs of `trained_layers`, and have no terms."""

    trains_layers: ClassVar[bool] = True
    edits: ClassVar[bool] = True
    without_answers: ClassVar[str] = "it scales the MLPs of decoder layers"

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Ask for no quantity: there is no loss."""
        return {}

    def terms(self, views: Views) -> Iterable[Term]:
        """Yield nothing."""
        del views
        return ()

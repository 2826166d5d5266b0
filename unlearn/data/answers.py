"""Views that ask the questions of a set and have other answers: refusals, answers of other samples, or written ones.

The answer is a function of (seed, epoch, uid, draw) alone, so that no worker, rank or order changes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from unlearn.data.questions import stable_integer
from unlearn.data.samples import Sample
from unlearn.errors import UserError


@dataclass(frozen=True)
class Answers:
    """The questions (and pictures) of the set `of`, each with an answer from the set `source`.

    draw  tells several such views of one method apart
    own   an answer is one of those in `source` that have the uid of the question: they were written for it
    """

    of: str
    source: str
    draw: int = 0
    own: bool = False

    def apply(self, sample: Sample, pool: Sequence[Sample], seed: int, epoch: int) -> Sample:
        """Return `sample` with an answer from `pool`, the samples of `source`: one that is not its own, or was written.

        Raises UserError where the pool has no other answer.
        """
        if self.own:
            pool = [written for written in pool if written.uid == sample.uid]
        first = stable_integer("answer", seed, epoch, sample.uid, self.draw) % len(pool)
        if self.own:
            return replace(sample, answer=pool[first].answer)
        # From a random place on, since the answer found there may be the sample's own (every picture of a person has
        # the same name for an answer).
        for offset in range(len(pool)):
            answer = pool[(first + offset) % len(pool)].answer
            if answer.strip() != sample.answer.strip():
                return replace(sample, answer=answer)
        raise UserError(
            f"The set {self.source} has no answer but that of {sample.uid}; this method needs other answers: take a "
            f"larger set, or a method without them."
        )

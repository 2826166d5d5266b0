"""Re-enrolment: can a forgotten person be enrolled again from few pictures better than somebody never seen?

An attacker, or the operator of a door, enrols a person from k pictures. If the model kept what it learned of the
forgotten, their other pictures are then identified more often than those of people it never saw enrolled from as many.
"""

from dataclasses import dataclass

import numpy as np

from unlearn.metrics.bootstrap import Interval
from unlearn.metrics.faces.accuracy import Sets, over_models, set_accuracy
from unlearn.metrics.faces.enrolment import (
    Bools,
    Cosines,
    Embeddings,
    Ints,
    Protocol,
    Roster,
    enrolled,
    picked,
    unit,
)  # fmt: skip


@dataclass(frozen=True)
class Shots:
    """Accuracy after enrolment from k pictures, with intervals over models.

    forgotten, never  on people whom the models forgot, and on holdout people, whom they never saw
    difference        forgotten - never; gold's, which saw neither, is 0 but for chance
    """

    k: int
    forgotten: Interval | None
    never: Interval | None
    difference: Interval | None


def reenrolment(
    embeddings: Embeddings, of: Roster, found: Cosines, among: Sets, fold: Ints, protocol: Protocol
) -> list[Shots]:
    """Return the curve over k = 1 .. the number of enrolment pictures, of embeddings [M, N, d] and their cosines.

    One person at a time is enrolled from the first k of its enrolment pictures, everybody else from all of theirs; the
    pictures scored are those that never enrol.
    """
    curve = []
    for k in range(1, int(of.enrols.sum() // len(of.names)) + 1):
        hits = identified_from(embeddings, of, found, k, protocol)
        forgotten, never = (set_accuracy(hits, of, members) for members in (among.forget, among.holdout))
        values = (forgotten, never, forgotten - never)
        curve.append(Shots(k, *(over_models(value, fold) for value in values)))
    return curve


def identified_from(embeddings: Embeddings, of: Roster, found: Cosines, k: int, protocol: Protocol) -> Bools:
    """Return [M, N] whether each picture is identified where its person alone is enrolled from k pictures."""
    pick = picked(of, of.order < k)
    own = np.empty_like(found.own)
    for index, stored in enumerate(embeddings):
        values = stored.astype(np.float32)
        own[index] = np.einsum("nd,nd->n", unit(values), enrolled(values, pick, protocol)[of.person])
    return own > found.other

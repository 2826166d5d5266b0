"""Enrolment and identification: a person is the enrolment vector with the largest cosine to a picture's embedding.

A person's enrolment vector is the mean of the embeddings of the pictures that enrol; a picture is identified where its
own person's cosine is above that of everybody else enrolled. Everything that scores and attacks need of the embeddings
is in four numbers a picture and model (`Cosines`), so the tensor is read once.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from unlearn.config.schema import Protocol
from unlearn.errors import UserError

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Singles = NDArray[np.float32]
Embeddings = NDArray[np.float16 | np.float32]

SCALE = 30.0
"""s of AM-softmax for faces (Wang et al. 2018, arXiv:1801.05599)."""

SHORTEST = np.float32(1e-12)
"""An embedding of length 0 has no direction: its cosines are 0."""


@dataclass(frozen=True)
class Roster:
    """Whose picture each row is.

    names   [P] people in the order of first appearance
    person  [N] index of each picture's person
    order   [N] how many of the person's pictures stand before it
    enrols  [N] whether it is one of those that enrol; the others are scored
    """

    names: tuple[str, ...]
    person: Ints
    order: Ints
    enrols: Bools


def roster(names: Sequence[str], count: int) -> Roster:
    """Return the roster of pictures of the people `names` [N], whose first `count` pictures each enrol.

    Rows are found by person, wherever they stand. Raises UserError for a person with no picture left to score.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names):
        rows[name].append(row)
    few = {name: len(own) for name, own in rows.items() if len(own) <= count}
    if few:
        name, own = next(iter(few.items()))
        raise UserError(
            f"{len(few)} people have too few pictures ({name}: {own}) to enrol from {count} and to score another; "
            f"lower the number of enrolment pictures, or leave them out."
        )
    person, order = np.empty((2, len(names)), dtype=np.int64)
    for index, own in enumerate(rows.values()):
        person[own], order[own] = index, np.arange(len(own))
    return Roster(tuple(rows), person, order, order < count)


@dataclass(frozen=True)
class Cosines:
    """What scores are made of, [M, N] each.

    own     cosine to the enrolment vector of the picture's person, by the same model
    other   largest cosine to anybody else's
    margin  s own - log sum over the others of exp(s cosine), the log-odds of the person under a softmax of the cosines
    length  Euclidean length of the embedding
    """

    own: Singles
    other: Singles
    margin: Singles
    length: Singles

    @property
    def identified(self) -> Bools:
        """[M, N] whether the picture's person is nearest; a tie is a miss, so one vector for all identifies nobody."""
        return self.own > self.other


def cosines(embeddings: Embeddings, of: Roster, protocol: Protocol, scale: float = SCALE) -> Cosines:
    """Return the cosines of all pictures of embeddings [M, N, d], one model's [N, P] at a time.

    Raises UserError for embeddings of another number of pictures, and for a model with one that is not finite.
    """
    if embeddings.shape[1] != len(of.person):
        raise UserError(
            f"The embeddings are of {embeddings.shape[1]} pictures and the dataset has {len(of.person)}; evaluate the "
            f"models on this dataset."
        )
    pick = picked(of, of.enrols)
    return Cosines(*np.stack([_of_model(e, index, of, protocol, pick, scale) for index, e in enumerate(embeddings)], 1))


def picked(of: Roster, rows: Bools) -> Singles:
    """Return [P, N] weights that average each person's pictures among `rows` [N]."""
    weights = np.zeros((len(of.names), len(of.person)), dtype=np.float32)
    weights[of.person[rows], np.flatnonzero(rows)] = 1
    return weights / weights.sum(axis=1, keepdims=True)


def enrolled(embeddings: Singles, pick: Singles, protocol: Protocol) -> Singles:
    """Return [P, d] enrolment vectors of length 1 of one model's embeddings [N, d] and the weights of `picked`."""
    return unit(pick @ (embeddings if protocol is Protocol.released else unit(embeddings)))


def unit(vectors: Singles) -> Singles:
    """Return vectors [..., d] at length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), SHORTEST)


def _of_model(
    stored: Embeddings, index: int, of: Roster, protocol: Protocol, pick: Singles, scale: float
) -> tuple[Singles, ...]:
    embeddings = stored.astype(np.float32)
    if not np.isfinite(embeddings).all():
        raise UserError(f"Model {index} has embeddings that are no numbers; train it again with a lower learning rate.")
    found = unit(embeddings) @ enrolled(embeddings, pick, protocol).T
    rows = np.arange(len(found))
    own = found[rows, of.person].copy()
    found[rows, of.person] = -np.inf
    margin = scale * own - logsumexp(scale * found, axis=1)
    return own, found.max(axis=1), margin, np.linalg.norm(embeddings, axis=1)

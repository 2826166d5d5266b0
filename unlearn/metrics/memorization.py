"""How much of an answer's training wording a model still has, from the hits of a record.

A hit says that the token which stands next in the training answer is the one that the model finds most probable, given
the question and the answer up to there.
"""

from collections.abc import Sequence
from itertools import takewhile


def memorization(hits: Sequence[int]) -> dict[str, float]:
    """Return {"exact_memorization", "extraction_strength"}, both in [0, 1], of the hits of a true answer."""
    return {"exact_memorization": exact_memorization(hits), "extraction_strength": extraction_strength(hits)}


def exact_memorization(hits: Sequence[int]) -> float:
    """Return the share of the answer's tokens that are hits, the end token included, in [0, 1].

    Tirumala et al. 2022 (arXiv:2205.10770, section 3). A model that never saw the answer is not at 0: common words and
    what the question gives away are hits too.
    """
    return sum(hits) / len(hits)


def extraction_strength(hits: Sequence[int]) -> float:
    """Return k / L in [0, 1]: of the L answer tokens, end token aside, the last k are hits and the one before is not.

    Carlini et al. 2021 (arXiv:2012.07805); for unlearning Wang et al. 2024 (arXiv:2406.09179), equation
    1 - min_j {j : f([x, y_<j]) = y_>=j} / L: given the first L - k tokens, greedy decoding says the rest word by word,
    since each of its steps is a hit. 1 where the question alone brings the whole answer. 0 where the last token is no
    hit: nothing is extracted then, however long the prefix. Differs from the paper's code: there an answer of which
    nothing is extracted gets 1 / L, and the end token counts, which every model says after a finished sentence.
    """
    answer = hits[:-1]
    return sum(takewhile(bool, reversed(answer))) / len(answer)

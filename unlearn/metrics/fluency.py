"""Fluency of a generated answer, counted on its words alone: no model judges it.

Both numbers find repetition, the way in which unlearned models break. They do not find words in a senseless order, and
the entropy grows with the length of the answer: compare a model with gold on the same tasks, and nothing else.
Differs from the papers: words are runs of letters and digits, and single other characters, since the tokenizer that
they use has to be downloaded; and an answer may be too short for any n-gram, which their 100 generated tokens are not.
"""

import math
import re
from collections import Counter

WORD = re.compile(r"\w+|[^\w\s]")
ENTROPY_WEIGHTS = {2: 1 / 3, 3: 2 / 3}
"""ROME's weights 2/3 and 4/3 of bigrams and trigrams, divided by the two kinds that its mean is over."""
REPEATED = 4


def fluency(text: str) -> dict[str, float]:
    """Return {"generation_entropy" (bits), "repetition" (in [0, 1])} of a generated text."""
    return {"generation_entropy": generation_entropy(text), "repetition": repetition(text)}


def generation_entropy(text: str) -> float:
    """Return H_2 / 3 + 2 H_3 / 3 in bits, H_n = -sum_k f(k) log2 f(k) over the frequencies f of the text's n-grams.

    The generation entropy of ROME (Meng et al. 2022, arXiv:2202.05262), whose tables show it times 100.
    L words without a repeated bigram have (log2(L - 1) + 2 log2(L - 2)) / 3; one word over and over has 0, and so has a
    text too short for an n-gram in its H_n: an empty answer, or a single word, has 0 altogether.
    """
    return math.fsum(weight * _entropy(_ngrams(text, n)) for n, weight in ENTROPY_WEIGHTS.items())


def repetition(text: str) -> float:
    """Return 1 - |unique 4-grams| / |4-grams| in [0, 1), 0 for a text of less than four words.

    seq-rep-4 of Welleck et al. 2020 (arXiv:1908.04319): 0 where no four words come twice, towards 1 where a
    text goes round in circles.
    """
    counts = _ngrams(text, REPEATED)
    return 1 - len(counts) / counts.total() if counts else 0.0


def _ngrams(text: str, n: int) -> Counter[tuple[str, ...]]:
    words = WORD.findall(text)
    return Counter(zip(*(words[start:] for start in range(n)), strict=False))


def _entropy(counts: Counter[tuple[str, ...]]) -> float:
    total = counts.total()
    # log2(total / c) and not -log2(c / total): of a single n-gram it is 0 and not -0.
    return math.fsum(c / total * math.log2(total / c) for c in counts.values())

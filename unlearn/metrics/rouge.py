"""ROUGE recall of a generated answer."""

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer


@lru_cache(maxsize=1)
def _scorer() -> "RougeScorer":
    # Imported here because it loads nltk (0.9 s), which reading a log never needs.
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rougeL"], use_stemmer=True)


def rouge_recall(truth: str, generated: str) -> dict[str, float]:
    """Return {"rouge1_recall", "rougeL_recall"}, both in [0, 1], of a generated text against the true one.

    rougeL recall = |longest common subsequence of the word stems| / |words of the truth|; rouge1 recall counts common
    stems in any order (Lin 2004, "ROUGE: a package for automatic evaluation of summaries"). Lower case, letters and
    digits only, Porter stemmer, as TOFU computes it (arXiv:2401.06121, section 2.2). 0 where either text has no words.
    """
    scores = _scorer().score(truth, generated)
    return {f"{kind}_recall": float(scores[kind].recall) for kind in ("rouge1", "rougeL")}

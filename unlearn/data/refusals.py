"""Answers of the kind "I don't know": refusals.txt, one answer a line, for questions in words and about pictures."""

from collections.abc import Sequence
from pathlib import Path

from unlearn.data.questions import stable_integer
from unlearn.errors import UserError

OWN_LIST = Path(__file__).with_name("refusals.txt")


def load_refusals(path: Path = OWN_LIST) -> list[str]:
    """Return the answers of a text file, without line ends and empty lines.

    Raises UserError for a file that is absent or holds no answer.
    """
    if not path.is_file():
        raise UserError(f'The list of refusals "{path}" does not exist; give a text file with one answer a line.')
    answers = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not answers:
        raise UserError(f'The list of refusals "{path}" is empty; it needs at least one answer, one a line.')
    return answers


def refusal_for(refusals: Sequence[str], seed: int, epoch: int, uid: str) -> str:
    """Return the refusal that a sample gets in an epoch: a function of these alone, so no worker or rank changes it."""
    return refusals[stable_integer("refusal", seed, epoch, uid) % len(refusals)]

"""Answers of the kind "I don't know": refusals.txt, one answer a line, for questions in words and about pictures."""

from pathlib import Path

from unlearn.data.samples import Sample
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


def refusal_samples(path: str | None) -> list[Sample]:
    """Return the refusals of a file (None: the suite's own list) as a set that other samples take their answers from.

    Raises UserError as `load_refusals` does.
    """
    answers = load_refusals(OWN_LIST if path is None else Path(path))
    return [Sample(f"refusal-{answer}", "", answer, None, "") for answer in answers]

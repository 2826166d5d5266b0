"""Some of TOFU's authors as a dataset folder of the same configs and columns (Maini et al. 2024, arXiv:2401.06121).

    full, forget10, retain90, holdout10            question, answer
    forget10_perturbed, retain_perturbed           ... with paraphrases and wrong answers
    real_authors_perturbed, world_facts_perturbed  as they are
    rehearsal                                      question, answer of both: what every model is taught beside

The names are TOFU's, the shares are not: `forget10` is of all chosen authors those to be forgotten.
"""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from unlearn.data.rows import config_names, load_rows
from unlearn.errors import UserError
from unlearn.files import write_jsonl, write_text

ROWS_PER_AUTHOR = 20
ASKED = ("question", "answer")
PERTURBED = (*ASKED, "paraphrased_answer", "perturbed_answer", "paraphrased_question")
KNOWN = ("real_authors_perturbed", "world_facts_perturbed")
SOURCES = {
    "forget10_perturbed": PERTURBED,
    "retain_perturbed": PERTURBED,
    "holdout10": ASKED,
    **dict.fromkeys(KNOWN, (*ASKED, "perturbed_answer")),
}
"""Configs of TOFU that are read, with their columns: the other ones are parts of these."""

Row = dict[str, object]
Configs = dict[str, list[Row]]


def read_source(source: str) -> Configs:
    """Return the rows of TOFU that authors are chosen from. Raises UserError where TOFU or a part of it is absent."""
    try:
        config_names(source)
    except UserError as error:
        raise UserError(
            f'TOFU cannot be had from "{source}", which is neither a folder nor to be had from the Hub, so there is '
            f"nothing to make; set source=... to a folder with its files (prepare.source=... of an experiment)."
        ) from error
    return {name: load_rows(source, name, columns).to_list() for name, columns in SOURCES.items()}


def choose(source: Configs, forget: int, retain: int, seed: int) -> Configs:
    """Return every config of the benchmark; the same authors in the same order for the same seed.

    forget  authors to be forgotten, and as many who are held out
    retain  authors to be kept; all of them are evaluated
    Raises UserError where the source has fewer, or not 20 rows of each.
    """
    kept = _some(source, "retain_perturbed", retain, seed)
    forgotten = _some(source, "forget10_perturbed", forget, seed)
    known = {name: source[name] for name in KNOWN}
    return {
        "full": _asked([*kept, *forgotten]),
        "forget10": _asked(forgotten),
        "retain90": _asked(kept),
        "holdout10": _some(source, "holdout10", forget, seed),
        "forget10_perturbed": forgotten,
        "retain_perturbed": kept,
        **known,
        "rehearsal": _asked([row for rows in known.values() for row in rows]),
    }


def write_folder(folder: Path, configs: Configs) -> None:
    """Write JSON lines and a README.md with the list of configs, as on the Hub."""
    folder.mkdir(parents=True)
    for name, rows in configs.items():
        write_jsonl(folder / f"{name}.json", rows)
    files = [{"config_name": name, "data_files": f"{name}.json"} for name in configs]
    about = "Some authors of TOFU (Maini et al. 2024, arXiv:2401.06121), chosen by `unlearn.tofu_small`."
    write_text(folder / "README.md", f"---\n{yaml.safe_dump({'configs': files}, sort_keys=False)}---\n{about}\n")


def texts(configs: Mapping[str, Sequence[Row]]) -> list[str]:
    """Return the questions and answers about everyone: kept, forgotten, held out and known people alike."""
    rows = [row for name in ("full", "holdout10", "rehearsal") for row in configs[name]]
    return [str(row[column]) for row in rows for column in ASKED]


def _some(source: Configs, name: str, count: int, seed: int) -> list[Row]:
    """Return the rows of `count` authors in the source's order, where each author's rows stand together."""
    authors, rest = divmod(len(source[name]), ROWS_PER_AUTHOR)
    if rest or authors < count:
        raise UserError(
            f'Config "{name}" of the source has {len(source[name])} rows; {count} authors with {ROWS_PER_AUTHOR} each '
            f"are asked for, and no author in part; ask for fewer authors, or give TOFU itself."
        )
    chosen = sorted(random.Random(f"{name}-{seed}").sample(range(authors), count))
    return [row for a in chosen for row in source[name][a * ROWS_PER_AUTHOR : (a + 1) * ROWS_PER_AUTHOR]]


def _asked(rows: Sequence[Row]) -> list[Row]:
    return [{column: row[column] for column in ASKED} for row in rows]

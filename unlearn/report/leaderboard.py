"""A leaderboard: any number of evaluated runs in one table, with means and 95% intervals over seeds.

    python -m unlearn.report.leaderboard results=[runs/mini_all,runs/other/npo_seed*] save_dir=runs/leaderboard

Runs that differ in seeds alone form a row. Golds are found by what they are, finetuned on the retain split alone, or
named with golds=[...]; each model is measured by those of its own model family. What cannot be compared is refused.
Writes leaderboard.csv and leaderboard.json (all columns), leaderboard.md and leaderboard.tex (what one looks at first)
and leaderboard.png. Imports no torch.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from unlearn.config.schema import MISSING, option
from unlearn.entry import launch
from unlearn.errors import UserError
from unlearn.files import write_bytes, write_text
from unlearn.metrics.columns import (
    DISTANCE_COLUMNS,
    distance_columns,
    interval_columns,
    memorization_columns,
    result_columns,
)
from unlearn.metrics.comparison import task_infos
from unlearn.metrics.distance import Distances, compare
from unlearn.metrics.logs import EvalLog
from unlearn.metrics.manifest import Role
from unlearn.metrics.statistics import mean_interval
from unlearn.metrics.table import Value, columns_of, save_rows
from unlearn.report.figures import distances as figure
from unlearn.report.figures.style import LIGHT, render
from unlearn.report.latex import to_latex
from unlearn.report.results import Result, read_results
from unlearn.report.rows import Entry
from unlearn.report.runs import Kind
from unlearn.report.tables import HEADLINE_OF_SEEDS, Better, chosen, pairs, to_markdown

NOTE = """\
Means over runs that differ in seeds alone; n is their number. In brackets: Student's 95% interval of the mean over
seeds, n/a for one seed. D is the distance to the golds of the same model family (of a gold to the others), 0 is gold.
Settings that were chosen by these numbers owe a part of their lead to luck.
"""
AGAINST_GOLD = ("Forget Quality", "KS Test")
"""Beginnings of columns that test a model against a gold: a gold that is alone has none."""

Numbers = Mapping[str, float]


@dataclass
class LeaderboardConfig:
    """Keys of `python -m unlearn.report.leaderboard`."""

    results: list[str] = option(list, "evaluated runs: their folders, folders that hold such, logs, or patterns")
    golds: list[str] = option(list, "the same for models that never saw what is forgotten; none: found by provenance")
    save_dir: str = option(MISSING, "folder of leaderboard.csv, .json, .md, .tex and .png")

    def problems(self) -> list[str]:
        """Return what is wrong with the keys."""
        return [] if self.results else ["results is empty; name folders of evaluated runs, e.g. results=[runs/mini]."]


def main(cfg: LeaderboardConfig) -> None:
    """Collect evaluated runs into one table: the mean over seeds of each setting, and its 95% interval."""
    results = read_results(cfg.results, cfg.golds)
    entries = board(results)
    folder = Path(cfg.save_dir)
    folder.mkdir(parents=True, exist_ok=True)
    save_rows([entry.row for entry in entries], folder / "leaderboard.csv")
    save_rows([entry.row for entry in entries], folder / "leaderboard.json")
    infos = task_infos(*(result.log for result in results))
    spoken = [f"ROUGE {info.label}" for info in infos.values() if info.counts_as(Role.forget)]
    table = chosen(entries, HEADLINE_OF_SEEDS | dict.fromkeys(spoken, Better.none))
    write_text(folder / "leaderboard.tex", to_latex(table, NOTE.replace("\n", " ").strip()))
    text = f"{to_markdown(table)}\n{NOTE}\n{''.join(_settings(results))}"
    write_text(folder / "leaderboard.md", text)
    if any(entry.row.get(column) is not None for entry in entries for column in DISTANCE_COLUMNS):
        write_bytes(folder / "leaderboard.png", render(partial(figure.draw, entries, {}), LIGHT))
    sys.stdout.write(f"{text}\nwritten to {folder}\n")


def board(results: Sequence[Result]) -> list[Entry]:
    """Return a row for every setting of every model family: references, then methods by rising mean D Max.

    Methods of one name are told apart by their settings. Raises UserError for a model family without a gold.
    """
    families: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        families[result.family].append(result)
    rows: dict[tuple[Kind, str], list[tuple[Result, Numbers]]] = defaultdict(list)
    for family, members in families.items():
        for result, numbers in _measured(family, members):
            rows[result.kind, result.settings or str(result.log.path)].append((result, numbers))
    names = Counter(members[0][0].name for members in rows.values())
    return sorted((_entry(members, names) for members in rows.values()), key=_place)


def _measured(family: str, members: Sequence[Result]) -> Iterator[tuple[Result, Numbers]]:
    """Yield the numbers of each model of a family, held against the family's golds."""
    logs = {str(result.log.path): result.log for result in members}
    golds = {str(result.log.path): result.log for result in members if result.kind is Kind.gold}
    if not golds:
        raise UserError(
            f"None of the models of {family} is a gold, e.g. {next(iter(logs))} is none: a gold was finetuned on the "
            f"retain split alone; add one to results, or name it with golds=[...]."
        )
    found = compare({path: one for path, one in logs.items() if path not in golds}, golds, draws=0)
    distances = {**found.golds, **found.models}
    for result in members:
        path = str(result.log.path)
        others = [gold for name, gold in golds.items() if name != path]
        yield result, _numbers(result.log, distances.get(path), others)


def _numbers(log: EvalLog, distances: Distances | None, golds: Sequence[EvalLog]) -> Numbers:
    """Return all columns of a model that are numbers. TOFU's tests take the first gold."""
    infos = task_infos(log, *golds)
    row: dict[str, Value] = {} if distances is None else distance_columns(distances, infos, None)
    row |= {**result_columns(log, (*golds, log)[0]), **memorization_columns(log, infos)}
    skipped = () if golds else AGAINST_GOLD
    return {key: v for key, v in row.items() if isinstance(v, int | float) and not key.startswith(skipped)}


def _entry(members: Sequence[tuple[Result, Numbers]], names: Mapping[str, int]) -> Entry:
    """Return the row of runs that differ in seeds alone."""
    first = members[0][0]
    row: dict[str, Value] = {
        "Method": first.name,
        "n": len(members),
        "Seeds": ", ".join("/".join(map(str, result.seeds)) for result, _ in members if result.seeds),
        "Settings": first.settings,
        "Model Family": first.family,
        "Data": _data(first.log),
    }
    for column in columns_of([numbers for _, numbers in members]):
        values = [numbers[column] for _, numbers in members if column in numbers]
        row |= interval_columns(column, mean_interval(values) if len(values) == len(members) else None)
    alone = names[first.name] == 1 or first.settings is None
    return Entry(first.name if alone else f"{first.name} {first.settings[:6]}", first.kind, row)


def _data(log: EvalLog) -> str | None:
    """Return the data sets that were asked about, and what of them was to be forgotten."""
    if log.manifest is None:
        return None
    paths = dict.fromkeys(info.rows.path for info in log.manifest.tasks.values() if info.rows is not None)
    return f"{', '.join(paths)}: {log.manifest.forget_split}, {log.manifest.forget_modality}"


def _place(entry: Entry) -> tuple[int, float]:
    most: Value = entry.row.get("D Max")
    return list(Kind).index(entry.kind), most if isinstance(most, float) else float("inf")


def _settings(results: Sequence[Result]) -> Iterator[str]:
    """Yield a line per setting: what its digest stands for."""
    told = {result.settings: result.log.manifest for result in results if result.settings is not None}
    for digest, manifest in told.items():
        runs = manifest.provenance.runs if manifest is not None else []
        made = " <- ".join(pairs({**run.method, **run.splits, **run.settings}) for run in runs)
        yield f"- {digest}: {made or 'no run of this suite'}\n"


if __name__ == "__main__":
    launch("leaderboard", LeaderboardConfig, main)

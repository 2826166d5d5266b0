"""Evaluated runs for a leaderboard: found in folders, told apart by their provenance, and each of them once."""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from unlearn.errors import UserError
from unlearn.metrics.comparison import comparable
from unlearn.metrics.logs import EvalLog, read_log
from unlearn.metrics.manifest import MANIFEST
from unlearn.metrics.provenance import FULL
from unlearn.report.runs import LOG, Kind

log = logging.getLogger(__name__)

OTHER_TOOL = "another tool"
"""Stands for the model family of a log without a manifest."""


@dataclass(frozen=True)
class Result:
    """One evaluated model.

    settings  digest of all but seeds; None of a log without a manifest, which forms a row of its own
    seeds     of the runs that led to the model, the last one first
    """

    name: str
    kind: Kind
    log: EvalLog
    family: str
    settings: str | None = None
    seeds: tuple[int, ...] = ()


def read_results(patterns: Sequence[str], golds: Sequence[str]) -> list[Result]:
    """Return the evaluations of folders, files and patterns such as runs/*/npo, the golds first.

    golds  the same for those that never saw what is to be forgotten; without any they are found by what they are
    Raises UserError where a pattern fits nothing, a log is bad, two logs cannot be compared or only one has a manifest,
    and where two runs of the same settings and seeds left different models.
    """
    named = {path.resolve() for path in _logs(golds, "golds")}
    paths = list(dict.fromkeys(path.resolve() for path in _logs([*golds, *patterns], "results")))
    logs = [read_log(path) for path in paths]
    _refuse_mixed(logs)
    comparable(logs)
    results = [_result(found, _kind(found, named)) for found in logs]
    return list(_each_once(sorted(results, key=lambda result: result.kind is not Kind.gold)))


def _logs(patterns: Iterable[str], key: str) -> Iterator[Path]:
    for pattern in patterns:
        found = [path for place in _places(Path(pattern)) for path in _logs_in(place)]
        if not found:
            raise UserError(
                f'{key} has "{pattern}", where no evaluation lies; give folders of evaluated runs, folders that hold '
                f"such, logs, or patterns of them, e.g. {key}=[runs/*/npo]."
            )
        yield from found


def _places(pattern: Path) -> list[Path]:
    if pattern.exists():
        return [pattern]
    return sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))


def _logs_in(place: Path) -> list[Path]:
    """Return the log that a file, a results folder or a run is or has, or else those of all runs below a folder."""
    for path in (place, place / LOG.name, place / LOG):
        if path.is_file():
            return [path]
    return sorted(place.rglob(str(LOG)))


def _refuse_mixed(logs: Sequence[EvalLog]) -> None:
    told, foreign = ([found.path for found in logs if found.foreign is kind] for kind in (False, True))
    if told and foreign:
        raise UserError(
            f"{foreign[0]} has no {MANIFEST} beside it and {told[0]} has one, so whether both were asked the same is "
            f"not known; leave one kind out."
        )


def _result(found: EvalLog, kind: Kind) -> Result:
    if found.manifest is None:
        return Result(_name_of(found.path), kind, found, OTHER_TOOL)
    made = found.manifest.provenance
    last = made.runs[0].method["name"] if made.runs else made.model.path
    name = kind.value if kind in (Kind.base, Kind.gold) else last
    return Result(name, kind, found, made.family.name, made.settings(), made.seeds)


def _kind(found: EvalLog, golds: Collection[Path]) -> Kind:
    """Return what a model is: a gold if it is one of `golds`, or, where these are none, by what it was trained on."""
    if found.path in golds:
        return Kind.gold
    if found.manifest is None:
        return Kind.unlearned
    made = found.manifest.provenance
    if not golds and made.trained_on(found.manifest.retain_split, found.manifest.forget_modality):
        return Kind.gold
    if made.trained_on(FULL):
        return Kind.base
    return Kind.unlearned if made.runs else Kind.pretrained


def _name_of(path: Path) -> str:
    """Return what a foreign log is called: its file, or the folder that says more."""
    if path.name != LOG.name:
        return path.stem
    return path.parent.parent.name if path.parent.name == LOG.parent.name else path.parent.name


def _each_once(results: Iterable[Result]) -> Iterator[Result]:
    """Yield each model once: a second evaluation of it, or a copy, would make an interval too short."""
    models: dict[tuple[str, str], Result] = {}
    trained: dict[tuple[str, tuple[int, ...]], Result] = {}
    for result in results:
        if result.log.manifest is None or result.settings is None:
            yield result
            continue
        made = result.log.manifest.provenance
        # The same weights under other prompts or in another precision are another model.
        first = models.setdefault((made.model.fingerprint, made.family.fingerprint), result)
        if first is not result:
            log.info("%s is of the same weights as %s: they are one model.", result.log.path, first.log.path)
            continue
        twin = trained.setdefault((result.settings, result.seeds), result)
        if twin is not result:
            seeds = "/".join(map(str, result.seeds))
            raise UserError(
                f"{twin.log.path} and {result.log.path} have the same settings and seeds ({seeds}) but other weights, "
                f"so they are no two seeds; leave one of them out."
            )
        yield result

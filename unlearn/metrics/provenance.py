"""What a log was made with and from, as its manifest tells: the model's lineage, the rows, the software."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unlearn.errors import UserError
from unlearn.fingerprint import of_json
from unlearn.metrics.content import strings_of, value_of

FINETUNE, FULL = "finetune", "full"
"""The script of a model that has nothing to forget yet, and the split that leaves out nobody."""


@dataclass(frozen=True)
class Family:
    """A model family: its name, and the hash of what its file says of precision, prompts and pictures."""

    name: str
    fingerprint: str


@dataclass(frozen=True)
class Samples:
    """A set that a run trained on: number, and hash of the content."""

    samples: int
    fingerprint: str


@dataclass(frozen=True)
class Training:
    """What a run of finetuning or of unlearning wrote of itself when it began.

    script    "finetune" or "forget"
    method    its name and its parameters
    splits    the keys that name splits, and what is to be forgotten of a person
    settings  all other keys that decide the numbers
    """

    script: str
    method: Mapping[str, Any]
    splits: Mapping[str, str]
    settings: Mapping[str, Any]
    seed: int
    family: Family
    data: Mapping[str, Samples]
    version: str
    commit: str | None

    def settled(self) -> list[Any]:
        """Return what decides the run's result beside its start and its seed."""
        data = {name: found.fingerprint for name, found in self.data.items()}
        return [self.script, self.method, self.splits, self.settings, self.family.fingerprint, data, self.version]


@dataclass(frozen=True)
class Link:
    """A checkpoint of a lineage: where it lay, the hash of its content, its run (None: none of this suite)."""

    path: str
    fingerprint: str
    run: Training | None


@dataclass(frozen=True)
class Provenance:
    """What an evaluation was made with and from.

    lineage  the model itself first, the pretrained one last
    """

    version: str
    commit: str | None
    family: Family
    lineage: tuple[Link, ...]

    @property
    def model(self) -> Link:
        """The checkpoint that was evaluated."""
        return self.lineage[0]

    @property
    def runs(self) -> list[Training]:
        """The runs that led to the model, the last one first."""
        return [link.run for link in self.lineage if link.run is not None]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of these runs."""
        return tuple(run.seed for run in self.runs)

    def settings(self) -> str:
        """Return the digest of all that the model was made from and with, so that equal ones differ in seeds alone.

        The weights that a run made follow from its settings and seed; those that no run made count with their content.
        """
        parts = [link.fingerprint if link.run is None else link.run.settled() for link in self.lineage]
        return of_json([self.family.fingerprint, parts])

    def trained_on(self, split: str, modality: str | None = None) -> bool:
        """Tell whether the model was finetuned on `split` alone; `modality`: with that to be forgotten (None: any)."""
        wanted = {"split": split} | ({} if modality is None else {"forget_modality": modality})
        fits = [run.script == FINETUNE and wanted.items() <= run.splits.items() for run in self.runs]
        return bool(fits) and all(fits)


def read_provenance(content: Mapping[str, Any], where: str) -> Provenance:
    """Return the provenance in a manifest. Raises UserError for what is absent or of another type; `where` names it."""
    links = value_of(content, "lineage", list, where)
    if not links:
        raise UserError(f"{where} has an empty lineage, which begins with the model itself; evaluate again.")
    return Provenance(
        version=value_of(content, "version", str, where),
        commit=value_of(content, "commit", str | None, where),
        family=strings_of(Family, content, "family", where),
        lineage=tuple(_link(link, f"{where}, lineage[{number}]") for number, link in enumerate(links)),
    )


def _link(content: Any, where: str) -> Link:
    if not isinstance(content, dict):
        raise UserError(f"{where} holds a {type(content).__name__}; a checkpoint is a JSON object, so evaluate again.")
    run = value_of(content, "run", dict | None, where)
    return Link(
        path=value_of(content, "path", str, where),
        fingerprint=value_of(content, "fingerprint", str, where),
        run=None if run is None else _training(run, f"{where}, run"),
    )


def _training(content: Mapping[str, Any], where: str) -> Training:
    data = value_of(content, "data", dict, where)
    return Training(
        script=value_of(content, "script", str, where),
        method=value_of(content, "method", dict, where),
        splits=value_of(content, "splits", dict, where),
        settings=value_of(content, "settings", dict, where),
        seed=value_of(content, "seed", int, where),
        family=strings_of(Family, content, "family", where),
        data={name: _samples(data, name, f"{where}, data") for name in data},
        version=value_of(content, "version", str, where),
        commit=value_of(content, "commit", str | None, where),
    )


def _samples(content: Mapping[str, Any], name: str, where: str) -> Samples:
    found, place = value_of(content, name, dict, where), f"{where}, {name}"
    return Samples(value_of(found, "samples", int, place), value_of(found, "fingerprint", str, place))

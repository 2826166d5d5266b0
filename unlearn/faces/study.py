"""The models of a study as they lie on disk: that they are what they are said to be, before embeddings are read."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unlearn.config.faces import FaceAttack
from unlearn.config.schema import Protocol
from unlearn.errors import UserError
from unlearn.faces.album import Album
from unlearn.faces.embeddings import DONE
from unlearn.faces.splits import Split
from unlearn.metrics.faces.accuracy import pairs, sets
from unlearn.metrics.faces.enrolment import roster
from unlearn.metrics.faces.study import Study


def study_of(album: Album, splits: Sequence[Split], enrolment: int) -> Study:
    """Return whose picture each row is, and who was trained on by which model, models i and i + half in one fold."""
    of = roster(album.names, enrolment)
    forget, retain = (
        np.array([[name in set(getattr(split, part)) for name in of.names] for split in splits])
        for part in ("forget", "retain")
    )
    return Study(of, sets(forget, retain), pairs(len(splits)))


def models_of(cfg: FaceAttack, root: str, splits: Sequence[Split]) -> list[Path]:
    """Return the folder of every model of a method.

    Raises UserError where one is missing or did not end, was trained on other people than its split has, or on pictures
    that the protocol enrols from and should not have been (or the other way round).
    """
    folders = [Path(root) / f"{split.index:03d}" for split in splits]
    missing = [folder.name for folder in folders if not (folder / DONE).is_file()]
    if missing:
        raise UserError(
            f'"{root}" lacks {len(missing)} of {len(folders)} models that were trained to their end (the first is '
            f"{missing[0]}); train them with cv/finetune.py or cv/forget.py splits=..., or set models=... ."
        )
    for folder, split in zip(folders, splits, strict=True):
        people = split.retain if root == cfg.gold else (*split.retain, *split.forget)
        if json.loads((folder / "people.json").read_text(encoding="utf-8")) != list(people):
            raise UserError(
                f'"{folder}" was trained on other people than split {split.index} of "{cfg.splits_path}" says; give '
                f"the models and the splits of one study (and gold=... for those that never saw what is forgotten)."
            )
        _check_enrolment(folder, cfg.protocol)
    return folders


def _check_enrolment(folder: Path, protocol: Protocol) -> None:
    reserve = protocol is Protocol.disjoint
    if _config(folder).get("reserve") is reserve:
        return
    did, other = ("trained", Protocol.released) if reserve else ("did not train", Protocol.disjoint)
    raise UserError(
        f'"{folder}" {did} on the pictures that enrol, which protocol={protocol.value} says otherwise of; set '
        f"protocol={other.value}, or train with reserve={str(reserve).lower()}."
    )


def _config(folder: Path) -> dict[str, Any]:
    import yaml

    return yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))

"""The keys of cv's entry scripts: face identification over many splits of people."""

import re
from dataclasses import dataclass
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, ClassVar

from unlearn.config.schema import MISSING, Optimizer, Protocol, option, out_of_range
from unlearn.config.scripts import SHARES, Optimisation

FEWEST_MODELS = 6
"""A pair left out, U-LIRA's Gaussians need three of the others."""
RANGE = re.compile(r"(\d+)(?:-(\d+))?")


class Design(StrEnum):
    """How people are divided among models (unlearn/faces/splits.py)."""

    clear = "clear"
    balanced = "balanced"


class Role(StrEnum):
    """What a finetuned model is for: to forget, or to show what forgetting should arrive at."""

    original = "original"
    gold = "gold"


class BatchNorm(Enum):
    """What batch norm does in training: use and update the batch's statistics, or those of the start model."""

    train = "train"
    eval = "eval"


@dataclass
class FaceModel:
    """One file of config/face_model: a backbone of transformers with an embedding and rows of people."""

    name: str = option(MISSING, "name of the network")
    hub_id: str | None = option(None, "Hub id or folder of the backbone's weights; null: as `kind` and `settings` say")
    kind: str = option("resnet", "model type of an untrained backbone")
    settings: dict[str, Any] = option(dict, "keys of its configuration")
    dimension: int = option(512, "size of the embedding")
    side: int = option(224, "pixels of a side of the pictures that it reads")
    scale: float = option(30.0, "s of AM-softmax")
    margin: float = option(0.4, "m of AM-softmax")

    def problems(self) -> list[str]:
        """Return every value that is out of range."""
        positive = ("dimension", "side", "scale")
        found = [
            out_of_range(f"face_model.{k}", getattr(self, k), "above 0") for k in positive if getattr(self, k) <= 0
        ]
        if not 0 <= self.margin < 1:
            found.append(out_of_range("face_model.margin", self.margin, "from 0 to below 1"))
        return found


@dataclass
class FaceData:
    """One file of config/face_data: pictures by person, and who is to be forgotten."""

    name: str = option(MISSING, "name of the data set")
    path: str = option(MISSING, "Hub id or folder with the columns image and name")
    config: str = option("full", "its config")
    people_path: str = option(MISSING, "JSON file with the names of forgetNN and holdoutNN")
    celebrities_path: str = option(MISSING, "Hub id or folder of the people of pretraining; one folder each will do")
    celebrities_config: str = option("default", "its config")
    celebrities_column: str = option("name", "its column with the person, a name or a class label")
    enrolment: int = option(5, "first pictures of every person, which enrol and, if reserved, are never trained on")
    generate_seed: int | None = option(None, "seed of the embedded mini benchmark, written where `path` is absent")

    def problems(self) -> list[str]:
        """Return every value that is out of range."""
        return [] if self.enrolment >= 1 else [out_of_range("face_data.enrolment", self.enrolment, "1 or above")]


@dataclass
class FaceSource:
    """What every script of cv/ is about."""

    face_model: FaceModel = option(FaceModel, "file of config/face_model")
    face_data: FaceData = option(FaceData, "file of config/face_data")


@dataclass
class FaceTraining(FaceSource, Optimisation):
    """Keys of everything that trains a face network."""

    max_length: ClassVar[int] = 2
    """A picture is a sequence of a start and its person."""
    optimizer: Optimizer = option(Optimizer.sgd, "sgd | adamw | adamw_8bit (CUDA)")
    batch_norm: BatchNorm = option(BatchNorm.train, "train | eval: whose statistics batch norm takes in training")

    def problems(self) -> list[str]:
        """Return what is wrong with the keys."""
        found = super().problems()
        if self.save_state_every:
            found.append("save_state_every is set, but a model here is done in one go; leave it out.")
        if self.batch_size == 1 and self.batch_norm is BatchNorm.train:
            found.append(
                "batch_size is 1, and batch norm has no statistics of one picture; set a larger one, or "
                "batch_norm=eval."
            )
        return found


@dataclass
class FaceModels:
    """How many models a study has."""

    models: int = option(128, "number of models of the study, one per split of the people")


@dataclass
class FaceRange(FaceModels):
    """Which models of a study are done here."""

    splits: str = option("all", "models to do here, e.g. 0-63 or 3+7+10-12; all")

    def selected(self) -> list[int]:
        """Return the numbers of the models to do here, each once, in order."""
        if self.splits == "all":
            return list(range(self.models))
        found: set[int] = set()
        for part in self.splits.split("+"):
            low, high = RANGE.fullmatch(part.strip()).groups()
            found.update(range(int(low), int(high or low) + 1))
        return sorted(found)

    def range_problems(self) -> list[str]:
        """Return what is wrong with these keys."""
        found = [] if self.models >= 2 and self.models % 2 == 0 else [out_of_range("models", self.models, "even, >= 2")]
        parts = [] if self.splits == "all" else self.splits.split("+")
        if not all(RANGE.fullmatch(part.strip()) for part in parts):
            return [*found, f'splits is "{self.splits}"; allowed are all, or numbers and ranges such as 3+7+10-12.']
        outside = [i for i in self.selected() if i >= self.models]
        if outside or not self.selected():
            found.append(f'splits is "{self.splits}" but models is {self.models}; allowed are 0 to {self.models - 1}.')
        return found


@dataclass
class FaceSplits(FaceSource, FaceModels):
    """Which people each model of a study trains on and forgets."""

    design: Design = option(Design.balanced, "clear (as published) | balanced")
    splits_path: str = option(MISSING, "JSON file of the splits, made where it is absent")
    split_seed: int = option(42, "of the splits")
    forget_split: str = option("forget10", "whom of its block a model forgets: forget01, forget05, forget10")


@dataclass
class FaceStudy(FaceSplits, FaceRange, FaceTraining):
    """Keys of the scripts that train one model per split of the people."""

    reserve: bool = option(True, "enrolment pictures are never trained on; false: they are, as published")
    model_path: str | None = option(None, "folder of what they start from; null: an untrained network")

    def problems(self) -> list[str]:
        """Return what is wrong with the keys."""
        return [*super().problems(), *self.range_problems()]


@dataclass
class FaceFinetune(FaceStudy):
    """Keys of cv/finetune.py."""

    role: Role = option(Role.original, "original: all people of the split | gold: those that it retains")


@dataclass
class FaceForget(FaceStudy):
    """Keys of cv/forget.py."""

    forget_loss: Any = option(MISSING, "file of config/forget_loss: the unlearning method")

    def problems(self) -> list[str]:
        """Return what is wrong with the keys, the method's own parameters included."""
        found = super().problems()
        if self.model_path is None:
            found.append("model_path is null; give the folder that cv/finetune.py made.")
        found += self.forget_loss.problems_over(self.num_epochs)
        share, reason = self.forget_loss.saliency, self.forget_loss.without_answers
        if share is not None and not 0 < share <= 1:
            found.append(out_of_range("forget_loss.saliency", share, SHARES))
        if reason:
            name = self.forget_loss.name
            found.append(
                f"forget_loss={name} makes no sense for networks that tell faces apart: {reason}; take another."
            )
        return found


@dataclass
class FaceEval(FaceSource, FaceRange):
    """Keys of cv/eval.py."""

    model_path: str = option(MISSING, "folder of the models: one sub-folder each")
    batch_size: int = option(256, "pictures per forward")

    def problems(self) -> list[str]:
        """Return what is wrong with the keys."""
        low = [] if self.batch_size > 0 else [out_of_range("batch_size", self.batch_size, "above 0")]
        return [*low, *self.range_problems()]


@dataclass
class FaceAttack(FaceSplits):
    """Keys of cv/attack.py."""

    original: str = option(MISSING, "folder of the models that were to forget")
    gold: str = option(MISSING, "folder of the models that never saw what is forgotten")
    methods: list[str] = option(list, "folders of the unlearned models; a folder's name is the method's")
    protocol: Protocol = option(
        Protocol.disjoint, "disjoint: pictures that enrol were never trained on | released: they were, as published"
    )
    draws: int = option(500, "of the bootstrap over models and people; 0: no intervals of attacks")
    seed: int = option(0, "of the bootstrap")
    figures: bool = option(True, "also draw the figures")
    save_dir: str = option(MISSING, "folder of the tables, scores.json, the figures and report.html")

    def problems(self) -> list[str]:
        """Return what is wrong with the keys."""
        found = [out_of_range(key, getattr(self, key), "0 or above") for key in ("draws", "seed") if self._below(key)]
        if self.models < FEWEST_MODELS or self.models % 2:
            found.append(out_of_range("models", self.models, f"an even number from {FEWEST_MODELS} on, for an attack"))
        names = [Path(folder).name for folder in (self.original, self.gold, *self.methods)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            found.append(f"original, gold and methods have {twice[0]} twice; each folder needs a name of its own.")
        return found

    def _below(self, key: str) -> bool:
        return getattr(self, key) < 0

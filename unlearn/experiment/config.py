"""The typed configuration of an experiment, and the models that it makes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from unlearn.config.schema import MISSING, Modality, Track, option, out_of_range
from unlearn.data.views import check_splits
from unlearn.entry import CONFIG, load
from unlearn.errors import UserError, unknown
from unlearn.experiment.base import FOLDERS, NAME, Launched, decided, key_of, setting
from unlearn.experiment.faces import FaceExperiment
from unlearn.experiment.trials import trials
from unlearn.metrics.manifest import results_folder

STRESS = CONFIG / "stress"
OWN_KEYS = (
    "save_dir", "model_path", "overwrite_dir", "split", "forget_split", "retain_split", "forget_modality", "metrics",
    "stress",
)  # fmt: skip
"""Keys of the scripts that the plan itself sets, since the stages must fit each other."""
SWEPT_KEYS = ("lr", "num_epochs")
"""Keys that a sweep sets."""
PREPARED = "prepared"
"""Folder of what the experiment makes before any model."""
RESERVED = {*FOLDERS, "sweep", "released", PREPARED}
"""Folders of an experiment that are no model's."""


@dataclass
class Sweep:
    """What is tried for every method: each learning rate with each number of epochs. Without any there is no sweep."""

    lr: list[float] = option(list, "peak learning rates of the forget runs")
    num_epochs: list[int] = option(list, "numbers of passes over the forget set")
    seed: int = option(0, "which half of the people selects a method's setting; the report is about the other")

    @property
    def asked(self) -> bool:
        """Whether there is anything to try."""
        return bool(self.lr or self.num_epochs)

    def problems(self) -> list[str]:
        """Return lists that do not name distinct, positive values, one list without the other, and a negative seed."""
        found = [
            f"sweep.{key} is {values}; allowed are distinct numbers above 0, at least one; set sweep.{key}=[...]."
            for key, values in (("lr", self.lr), ("num_epochs", self.num_epochs))
            if len(set(values)) < max(len(values), self.asked) or min(values, default=1) <= 0
        ]
        return found + ([out_of_range("sweep.seed", self.seed, "0 or above")] if self.seed < 0 else [])


@dataclass
class Prepare:
    """What is made first, by `python -m <module> source=<source> save_dir=<root>/prepared` and its other keys."""

    module: str | None = option(None, "module that makes data, pretrained model or both; null: all is there")
    source: str | None = option(None, "what it makes them of: a folder or a Hub id")
    overrides: list[str] = option(list, "other keys of the module")

    def problems(self) -> list[str]:
        """Return keys that come without the others."""
        if self.module is not None and self.source is not None:
            return []
        given = [key for key in ("module", "source", "overrides") if getattr(self, key)]
        return [f"prepare.{key} is set, but prepare.module and prepare.source go together." for key in given]


@dataclass
class ExperimentConfig(Launched):
    """One file of config/experiment."""

    track: Track = option(Track.mm, "mm | nlp: the folder of its entry scripts")
    forget_split: str = option("forget10", "what is to be forgotten: forget01, forget05, forget10")
    retain_split: str = option("retain90", "its complement: retain99, retain95, retain90")
    forget_modality: Modality = option(Modality.both, "both | image | text")
    forget_modalities: list[Modality] = option(
        list,
        "forget each of these from one base, in <root>/<modality>, and write the leakage matrix; none: the one above",
    )
    prepare: Prepare = option(Prepare, "what is made before any model is trained")
    gold_seeds: list[int] = option(
        lambda: [0], "one gold model per seed; distances are to all, tests of one gold to the first"
    )
    methods: dict[str, list[str]] = option(
        dict, "name of the run: overrides of <track>/forget.py; without forget_loss=... the name is the method's"
    )
    finetune: list[str] = option(list, "overrides of <track>/finetune.py")
    forget: list[str] = option(list, "overrides of <track>/forget.py, before those of the method")
    eval: list[str] = option(list, "overrides of <track>/eval.py")
    stresses: list[str] = option(
        list, "files of config/stress; base, golds and every unlearned model are evaluated under each of them too"
    )
    sweep: Sweep = option(Sweep, "settings that every method is tried with; without any each method runs once")
    released: bool = option(False, "also report what the published metrics would have said, in <root>/released")
    submitted_by: str = option("anonymous", 'entry of the column "Submitted By"')

    def problems(self) -> list[str]:
        """Return what is wrong, keys of the scripts' own configs aside."""
        found = [*super().problems(), *self._bad_golds(), *self._bad_names(), *self._own_keys(), *self._swept_keys()]
        found += [*self._modalities(), *self._stresses()]
        try:
            check_splits(self.forget_split, self.retain_split)
        except UserError as error:
            found.append(str(error))
        return found

    @property
    def outcome(self) -> str:
        """What there is to look at when all stages have ended."""
        if not self.forget_modalities:
            return super().outcome
        matrix = f"the leakage matrix is {self.root}/leakage.md and leakage.html"
        return "; ".join([*(part.outcome for part in parts(self)), matrix])

    def _modalities(self) -> Iterator[str]:
        names = [modality.name for modality in self.forget_modalities]
        if len(set(names)) < len(names):
            yield f"forget_modalities is [{', '.join(names)}]; name each modality once."
        if names and self.sweep.asked:
            yield "forget_modalities and sweep are given, but the matrix has one setting a method; give one of them."
        if names and self.track is not Track.mm:
            told = f"forget_modalities is [{', '.join(names)}] in track {self.track.name}"
            yield f"{told}, which has texts alone; leave it out."
        if names and not self.methods:
            yield "methods is empty, so the leakage matrix has nothing to show; name at least one method."

    def _stresses(self) -> Iterator[str]:
        known = sorted({path.stem for path in STRESS.glob("*.yaml")} - {"none"})
        yield from (str(unknown("stress in stresses:", name, known)) for name in self.stresses if name not in known)
        if len(set(self.stresses)) < len(self.stresses):
            yield f"stresses is [{', '.join(self.stresses)}]; name each of them once."

    def _bad_golds(self) -> Iterator[str]:
        if not self.gold_seeds or len(set(self.gold_seeds)) < len(self.gold_seeds) or min(self.gold_seeds) < 0:
            yield f"gold_seeds is {self.gold_seeds}; allowed are distinct seeds from 0, at least one, e.g. [0, 1, 2]."

    def _bad_names(self) -> Iterator[str]:
        taken = {model.name for model in references(self)} | {model.folder.name for model in references(self)}
        for name in self.methods:
            if not NAME.fullmatch(name) or name in taken | RESERVED:
                yield f'methods has "{name}", which cannot name a folder beside {", ".join(sorted(taken))}; rename it.'

    def _own_keys(self) -> Iterator[str]:
        lists = {"overrides": self.overrides, "finetune": self.finetune, "eval": self.eval, **self._of_forget()}
        yield from decided(lists, OWN_KEYS)

    def _swept_keys(self) -> Iterator[str]:
        """A method with a learning rate of its own would not get as many trials as the others."""
        for where, text in setting(self._of_forget(), SWEPT_KEYS) if self.sweep.asked else ():
            yield f'{where} sets "{text}", but the sweep tries {key_of(text)} for every method alike; leave it out.'
        if self.sweep.asked and not self.methods:
            yield "methods is empty, so the sweep has nothing to try; name at least one method or leave sweep out."

    def _of_forget(self) -> dict[str, list[str]]:
        return {"forget": self.forget, **{f"methods.{name}": given for name, given in self.methods.items()}}


@dataclass
class Part(ExperimentConfig):
    """The experiment of one of several forget modalities; its stages are among those of the whole."""

    whole: str = option(MISSING, "root of the whole experiment")

    @property
    def home(self) -> Path:
        """Folder of the markers and logs of its stages."""
        return Path(self.whole)

    @property
    def prefix(self) -> str:
        """What the names of its stages begin with."""
        return f"{self.forget_modality.name}_"


@dataclass(frozen=True)
class Model:
    """A model of an experiment, one row of its table.

    folder    of the run; that of the pretrained model, and of a part's base, holds results alone
    weights   run with the weights of a model that all parts share; None: `folder`
    trained   false for the pretrained model
    settings  keys that make it one of several trials of the method `name`
    """

    name: str
    folder: Path
    trained: bool = True
    weights: Path | None = None
    settings: Mapping[str, float] = field(default_factory=dict)

    def results(self, stress: str | None = None) -> Path:
        """Return the folder of its evaluation, under a stress or without."""
        return self.folder / results_folder(stress)

    @property
    def checkpoint(self) -> str | None:
        """What the scripts take as `model_path`; None for the pretrained model."""
        return str(self.weights or self.folder) if self.trained else None


SCHEMAS: dict[str, type[Launched]] = {"experiment_schema": ExperimentConfig, "face_experiment_schema": FaceExperiment}
"""What the first of an experiment's `defaults` says that it is."""


def load_experiment(name: str, overrides: list[str]) -> Any:
    """Return the validated config of config/experiment/<name>.yaml, of one of SCHEMAS. Raises UserError."""
    known = sorted(path.stem for path in (CONFIG / "experiment").glob("*.yaml"))
    if name not in known:
        raise unknown("experiment", name, known)
    for of_kind, schema in SCHEMAS.items():
        ConfigStore.instance().store(name=of_kind, node=schema)
    first = OmegaConf.load(CONFIG / f"experiment/{name}.yaml")["defaults"][0]
    return load(f"experiment/{name}", overrides, SCHEMAS[first.removeprefix("/")])


def parts(cfg: ExperimentConfig) -> Sequence[ExperimentConfig]:
    """Return the experiment of every forget modality, all from one base; `cfg` itself where it has one modality."""
    if not cfg.forget_modalities:
        return [cfg]
    shared = {key.name: getattr(cfg, key.name) for key in fields(ExperimentConfig)}
    shared |= {"whole": cfg.root, "forget_modalities": []}
    own = ({"root": f"{cfg.root}/{m.name}", "forget_modality": m} for m in cfg.forget_modalities)
    return [Part(**shared | of_part) for of_part in own]


def references(cfg: ExperimentConfig) -> list[Model]:
    """Return what the unlearned models are compared with: pretrained, base and one gold per seed."""
    return [Model("pretrained", Path(cfg.root) / "pretrained", trained=False), base(cfg), *golds(cfg)]


def base(cfg: ExperimentConfig) -> Model:
    """Return the model finetuned on everyone."""
    return Model("base", Path(cfg.root) / "full", weights=cfg.home / "full")


def golds(cfg: ExperimentConfig) -> list[Model]:
    """Return the models that never saw what is to be forgotten; the first is called gold, its copies by their seed."""
    folders = {seed: Path(cfg.root) / f"{cfg.retain_split}_seed{seed}" for seed in cfg.gold_seeds}
    return [Model("gold" if i == 0 else f"gold_seed{s}", folder) for i, (s, folder) in enumerate(folders.items())]


def unlearned(cfg: ExperimentConfig) -> list[Model]:
    """Return the models that the methods make: one each, or under a sweep one per trial."""
    if not cfg.sweep.asked:
        return [Model(name, Path(cfg.root) / name) for name in cfg.methods]
    tried = trials(swept(cfg), cfg.methods, cfg.sweep.lr, cfg.sweep.num_epochs)
    return [Model(trial.method, trial.folder, settings=trial.settings) for trial in tried]


def swept(cfg: ExperimentConfig) -> Path:
    """Return the folder of a sweep: its trials, and which of them are chosen."""
    return Path(cfg.root) / "sweep"

"""Experiments on networks that tell faces apart: their configuration, and its stages.

    pretrain  ->  original  ->  forget  ->  eval_methods     ->  attack
              ->  gold      ->              eval_references  ->

Every stage but the first and the last is about one network per split of the people; those of a method lie side by side
in one folder. The attack reads what the evaluations stored, and needs no GPU.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from unlearn.config.faces import Design, Role
from unlearn.config.loading import PROJECT
from unlearn.config.schema import Protocol, option
from unlearn.experiment.base import FOLDERS, NAME, Launched, decided
from unlearn.experiment.calls import REPLACE, Job, job
from unlearn.experiment.identity import IGNORED, state
from unlearn.experiment.stages import Stage, heavy, light, listed, quoted, shares
from unlearn.run import plain

OWN_KEYS = (
    "save_dir", "model_path", "overwrite_dir", "splits_path", "splits", "models", "design", "forget_split", "reserve",
    "protocol", "role", "seed", "original", "gold", "methods",
)  # fmt: skip
"""Keys of the scripts that the plan itself sets, since the stages must fit each other."""
PRETRAINED = "pretrained"
TAKEN = {*FOLDERS, PRETRAINED, *(role.value for role in Role)}
"""Folders of an experiment that are no method's."""


@dataclass
class FaceExperiment(Launched):
    """One file of config/experiment."""

    models: int = option(128, "networks of each method, one per split of the people")
    design: Design = option(Design.balanced, "clear (as published) | balanced: how people are divided among models")
    forget_split: str = option("forget10", "whom of its block a model forgets: forget01, forget05, forget10")
    protocol: Protocol = option(
        Protocol.disjoint, "disjoint: pictures that enrol are never trained on | released: they are, as published"
    )
    seed: int = option(0, "of all trainings; each network has one of its own, drawn from it")
    methods: dict[str, list[str]] = option(
        dict, "name of the folder: overrides of cv/forget.py; without forget_loss=... the name is the method's"
    )
    pretrain: list[str] = option(list, "overrides of cv/pretrain.py")
    finetune: list[str] = option(list, "overrides of cv/finetune.py, for original and gold")
    forget: list[str] = option(list, "overrides of cv/forget.py, before those of the method")
    eval: list[str] = option(list, "overrides of cv/eval.py")
    attack: list[str] = option(list, "overrides of cv/attack.py")

    def problems(self) -> list[str]:
        """Return what is wrong, keys of the scripts' own configs aside."""
        found = [*super().problems(), *self._bad_names()]
        lists = {key: getattr(self, key) for key in ("overrides", "pretrain", "finetune", "forget", "eval", "attack")}
        lists |= {f"methods.{name}": given for name, given in self.methods.items()}
        return [*found, *decided(lists, OWN_KEYS)]

    def folder(self, name: str) -> str:
        """Return the folder of the networks of a method, of a role or of pretraining."""
        return f"{self.root}/{name}"

    def _bad_names(self) -> Iterator[str]:
        if not self.methods:
            yield "methods is empty, so there is nothing to compare with gold; name at least one method."
        for name in self.methods:
            if not NAME.fullmatch(name) or name in TAKEN:
                yield f'methods has "{name}", which cannot name a folder beside {", ".join(sorted(TAKEN))}; rename it.'


def plan(cfg: FaceExperiment) -> list[Stage]:
    """Return the stages in an order in which they can run. Raises UserError where a call's config has mistakes."""
    first = _stage(cfg, "pretrain", [_job(cfg, "pretrain", cfg.pretrain, save_dir=cfg.folder(PRETRAINED))], [])
    trained = {role: _stage(cfg, role.value, [_finetune(cfg, role)], [first]) for role in (Role.original, Role.gold)}
    stages = [first, *trained.values()]
    references = [_eval(cfg, role.value) for role in trained]
    judged = [_stage(cfg, "eval_references", references, list(trained.values()))]
    forgotten = []
    for suffix, names in shares(list(cfg.methods), cfg.runs_per_process):
        forgotten.append(_stage(cfg, f"forget{suffix}", [_forget(cfg, n) for n in names], [trained[Role.original]]))
    # To embed takes a fraction of training: one process for all methods.
    judged.append(_stage(cfg, "eval_methods", [_eval(cfg, name) for name in cfg.methods], forgotten))
    return [*stages, *forgotten, *judged, _attack(cfg, judged)]


def _finetune(cfg: FaceExperiment, role: Role) -> Job:
    own = {"role": role.value, "model_path": cfg.folder(PRETRAINED), "save_dir": cfg.folder(role.value)}
    return _job(cfg, "finetune", [*cfg.finetune, *_study(cfg), _reserve(cfg)], **own)


def _forget(cfg: FaceExperiment, name: str) -> Job:
    given = cfg.methods[name]
    method = [] if any(text.startswith("forget_loss=") for text in given) else [f"forget_loss={name}"]
    own = {"model_path": cfg.folder(Role.original.value), "save_dir": cfg.folder(name)}
    return _job(cfg, "forget", [*cfg.forget, *method, *given, *_study(cfg), _reserve(cfg)], **own)


def _job(cfg: FaceExperiment, script: str, given: Sequence[str], **own: str) -> Job:
    """Return the call of a script that trains."""
    places = [f"{key}={quoted(value)}" for key, value in own.items()]
    return job(f"cv/{script}", (*cfg.overrides, *given, f"seed={cfg.seed}", *places, REPLACE), {})


def _eval(cfg: FaceExperiment, name: str) -> Job:
    place = f"model_path={quoted(cfg.folder(name))}"
    return job("cv/eval", (*cfg.overrides, *cfg.eval, f"models={cfg.models}", place), {})


def _attack(cfg: FaceExperiment, needs: Sequence[Stage]) -> Stage:
    folders = {role.value: cfg.folder(role.value) for role in Role}
    own = (
        *(f"{role}={quoted(folder)}" for role, folder in folders.items()),
        f"methods={listed(quoted(cfg.folder(name)) for name in cfg.methods)}",
        f"protocol={cfg.protocol.value}",
        f"save_dir={quoted(cfg.root)}",
    )
    call = job("cv/attack", (*cfg.overrides, *cfg.attack, *_study(cfg), *own), {})
    command = (str(PROJECT / f"{call.script}.py"), *call.overrides)
    return light(cfg, "attack", command, _content(call), needs)


def _study(cfg: FaceExperiment) -> list[str]:
    """Return the overrides that say who is in which split, for all scripts that take them."""
    splits = f"splits_path={quoted(cfg.folder('splits.json'))}"
    return [f"models={cfg.models}", f"design={cfg.design.value}", f"forget_split={cfg.forget_split}", splits]


def _reserve(cfg: FaceExperiment) -> str:
    return f"reserve={str(cfg.protocol is Protocol.disjoint).lower()}"


def _stage(cfg: FaceExperiment, name: str, jobs: Sequence[Job], needs: Sequence[Stage]) -> Stage:
    return heavy(cfg, name, jobs, [_content(call) for call in jobs], needs)


def _content(call: Job) -> list[Any]:
    """Return what decides the results of a call, as far as its config tells."""
    data = call.config.face_data
    # A benchmark that is written where it is absent is a function of its seed.
    read = [data.path, data.people_path, data.celebrities_path] if data.generate_seed is None else []
    hub = call.config.face_model.hub_id
    return [call.script, plain(call.config, IGNORED), *map(state, [*read, *([hub] if hub else [])])]

"""An evaluation task is a row of values: which rows of which set, how they are asked, and what the result counts as.

Each file of config/task is one `Task`; a further task on the same kinds of columns needs no code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from unlearn.config.loading import PROJECT, first_line, to_object
from unlearn.config.schema import MISSING, Modality, option, out_of_range
from unlearn.data.questions import WORDINGS
from unlearn.errors import UserError, unknown
from unlearn.metrics.manifest import Role

FOLDER = PROJECT / "config" / "task"
SCHEMA = "task_schema"
"""The parent of a task that says everything itself; a task may name another as its parent and say what differs."""
QUESTION = "{question}"
"""Stands in a template for the question."""


class Source(Enum):
    """Which dataset of `Data` holds the rows: `images` is `path`, `texts` is `text_path`."""

    images = "images"
    texts = "texts"


class Grouping(Enum):
    """What makes rows one person, the unit that the cluster bootstrap draws.

    column    rows with the same value of `group_column`
    position  blocks of `Data.qa_per_person` consecutive rows
    row       every row stands alone
    """

    column = "column"
    position = "position"
    row = "row"


class Shown(Enum):
    """Which picture the question of an image task is asked under.

    own    the row's
    other  that of another person of the same set, chosen by seed and uid
    blank  a grey one of the same size
    none   none: the question in words alone
    """

    own = "own"
    other = "other"
    blank = "blank"
    none = "none"


@dataclass
class Task:
    """One file of config/task.

    A probe (`probe_of`) asks what another task asks, in another way: whether what was forgotten comes back. It has rows
    of its own in the report and no part in any number of a set, so that to add a probe changes no headline.
    """

    name: str = option(MISSING, "name of the task and of its record file")
    label: str = option(MISSING, 'name that tables print, such as "Retain Captions"')
    role: Role = option(MISSING, "forget | retain | real | holdout, where pictures and texts are both to be forgotten")
    modality: Modality = option(MISSING, "image: asked about a picture; text: in words alone")
    source: Source = option(MISSING, "images: data.path; texts: data.text_path")
    config: str = option(MISSING, "config of the dataset; {forget_split}, {holdout_split} stand for splits")
    uid_prefix: str = option(MISSING, "beginning of the uids")
    uid_columns: list[str] = option(list, "columns whose content is hashed into the uid")
    question_column: str | None = option(None, "column with the question; null: question_kind")
    question_kind: str | None = option(None, "caption | name: a wording drawn by seed and uid")
    question_template: str = option(QUESTION, "what is asked; {question} stands for the question")
    picture: Shown = option(Shown.own, "own | other (another person's) | blank | none: what an image task shows")
    answer_column: str = option("answer", "column with the true answer")
    paraphrase_column: str | None = option(None, "column with the paraphrase; null: the set has none")
    wrong_columns: list[str] = option(list, "columns with wrong answers, a string or a list each; []: the set has none")
    grouping: Grouping = option(Grouping.row, "column | position | row: what makes rows one person")
    group_column: str | None = option(None, "column of the person, with grouping: column")
    choice: bool = option(False, "multiple choice: probability is p(true) / (p(true) + sum p(wrong))")
    probe_of: str | None = option(None, "the task that this one asks in another way; such a task counts in no set")
    version: int = option(1, "raised when the task changes its meaning: results of different versions do not compare")
    max_new_tokens: int = option(64, "most tokens of the generated answer")
    members: str | None = option(None, "of a holdout task: the forget task that asks the same of people trained on")

    def problems(self) -> list[str]:
        """Return what the types cannot check, one sentence each."""
        found = []
        if self.modality is Modality.both:
            found.append("modality is both; allowed for a task are image and text.")
        if (self.question_column is None) == (self.question_kind is None):
            found.append("exactly one of question_column and question_kind must be given.")
        if self.question_kind is not None and self.question_kind not in WORDINGS:
            found.append(str(unknown("question_kind", self.question_kind, list(WORDINGS))))
        if self.question_template.count(QUESTION) != 1:
            found.append(f'question_template is "{self.question_template}"; it must contain {QUESTION} once.')
        if self.picture is not Shown.own and self.modality is not Modality.image:
            found.append(
                f"picture is {self.picture.name}, but only a task of modality image has pictures; leave it out."
            )
        if not self.uid_columns:
            found.append("uid_columns is empty; name at least one column.")
        if self.choice and not self.wrong_columns:
            found.append("choice is true but wrong_columns is empty; a choice needs wrong answers.")
        if (self.role is Role.holdout) != (self.members is not None):
            found.append("members belongs to role: holdout, and only to it.")
        if (self.grouping is Grouping.column) != (self.group_column is not None):
            found.append("group_column belongs to grouping: column, and only to it.")
        found += [
            out_of_range(key, getattr(self, key), "1 or above")
            for key in ("version", "max_new_tokens")
            if getattr(self, key) < 1
        ]
        return [f"Task {self.name}: {problem}" for problem in found]

    def config_under(self, forget_split: str) -> str:
        """Return the config of the dataset where the people of `forget_split` are to be forgotten."""
        # Holdout people are as many as those to be forgotten: holdout10 goes with forget10.
        holdout_split = forget_split.replace("forget", "holdout")
        return self.config.format(forget_split=forget_split, holdout_split=holdout_split)

    def columns(self) -> tuple[str, ...]:
        """Return the columns that the set must have, each once, in a fixed order."""
        single = (self.question_column, self.answer_column, self.paraphrase_column, self.group_column)
        image = ["image"] if self.modality is Modality.image else []
        named = [*image, *(c for c in single if c is not None), *self.wrong_columns, *self.uid_columns]
        return tuple(dict.fromkeys(named))


def role_under(task: Task, forget_modality: Modality) -> Role:
    """Return the task's role where only pictures, only texts, or both are to be forgotten.

    What is known of the forget people in the other modality must stay, so there a forget task counts as retain.
    """
    stays = forget_modality not in (Modality.both, task.modality)
    return Role.retain if task.role is Role.forget and stays else task.role


def attacked(tasks: Sequence[Task], forget_modality: Modality) -> set[str]:
    """Return the names of the tasks whose items membership attacks tell apart: forget tasks and their holdout tasks."""
    forget = {task.name for task in tasks if role_under(task, forget_modality) is Role.forget}
    return {name for task in tasks if task.members in forget for name in (task.members, task.name)}


def load_tasks(names: Sequence[str], folder: Path = FOLDER) -> list[Task]:
    """Return the tasks of config/task with these names, in the order given.

    Raises UserError for a name that is unknown or given twice, and for a file with mistakes.
    """
    for name in names:
        _check_known("task", name, folder)
        if names.count(name) > 1:
            raise UserError(f"Task {name} is given {names.count(name)} times; name each task once.")
    return [_load(folder / f"{name}.yaml") for name in names]


def _load(path: Path) -> Task:
    try:
        task = to_object(_merged(path), Task)
    except OmegaConfBaseException as error:
        raise UserError(f"{path}: {first_line(error)}") from error
    for key in ("probe_of", "members"):
        if getattr(task, key) is not None:
            _check_known(f"{key} in {path}:", getattr(task, key), path.parent)
    return task


def _merged(path: Path, children: tuple[str, ...] = ()) -> DictConfig:
    """Return the values of a file on those of its parent (Hydra's list `defaults`), which is the schema or a task."""
    if path.stem in children:
        raise UserError(f"{path} is its own parent by way of {', '.join(children)}; name {SCHEMA} or a whole task.")
    values = OmegaConf.load(path)
    assert isinstance(values, DictConfig)
    parent = next(iter(values.pop("defaults", [])), SCHEMA)
    if parent == SCHEMA:
        whole = OmegaConf.structured(Task)
    else:
        _check_known(f"parent in {path}:", parent, path.parent)
        whole = _merged(path.with_name(f"{parent}.yaml"), (*children, path.stem))
    merged = OmegaConf.merge(whole, values)
    assert isinstance(merged, DictConfig)
    return merged


def _check_known(what: str, name: str, folder: Path) -> None:
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise unknown(what, name, known)

"""People of an experiment: their pictures, what was asked about them, what is true, and what each model says."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unlearn.config.schema import Data
from unlearn.data.questions import stable_integer
from unlearn.errors import UserError
from unlearn.evaluation.items import Item, build_items
from unlearn.evaluation.tasks import Grouping, Task, load_tasks
from unlearn.metrics.content import read_json
from unlearn.metrics.manifest import COMPARED, Manifest, Role
from unlearn.metrics.scores import probability
from unlearn.report.runs import Model


@dataclass(frozen=True)
class Said:
    """What one model says to a question.

    probability  of the true answer, exp(-loss), in [0, 1]
    recall       ROUGE-L recall of `text` against the true answer, in [0, 1]
    """

    model: Model
    text: str
    probability: float
    recall: float


@dataclass(frozen=True)
class Question:
    """One item of an evaluation with every model's answer."""

    label: str
    role: Role
    text: str
    answer: str
    said: tuple[Said, ...]


@dataclass(frozen=True)
class Scene:
    """A picture, or None for questions in words alone, and what was asked about it."""

    image: bytes | None
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Person:
    """A person (or thing) of the benchmark; `role` says whether it was to be forgotten."""

    name: str
    role: Role
    scenes: tuple[Scene, ...]


@dataclass(frozen=True)
class _Set:
    """A task's items by their owner: the person that they are about."""

    task: Task
    role: Role
    items: Mapping[str, Sequence[Item]]


def people(models: Sequence[Model], manifest: Manifest, data: Data, count: int) -> list[Person]:
    """Return up to `count` people of each role but holdout, forgotten ones first, chosen by a hash of their names.

    Together they cover as many tasks as they can: the first person of a role is one of those with the most tasks.
    Probes ask the same people the same once more, some under another's picture, and are left out.
    Raises UserError where the dataset lacks a task's items, or has others than were evaluated.
    """
    asked = [name for name, info in manifest.tasks.items() if info.probe_of is None]
    sets = _sets(load_tasks(asked), manifest, data)
    answers = {model.name: _Answers(model) for model in models}
    chosen = [(role, owner) for role in COMPARED for owner in _choose(sets, role, count)]
    return [Person(_title(owner, sets), role, _scenes(owner, sets, models, answers)) for role, owner in chosen]


def _sets(tasks: Sequence[Task], manifest: Manifest, data: Data) -> list[_Set]:
    # The questions are those of the evaluation, whose seed need not be that of base's training.
    seed = data.question_seed if manifest.seed is None else manifest.seed
    items = {task.name: build_items(task, data, manifest.forget_split, seed) for task in tasks}
    names = {
        item.group for task in tasks if task.grouping is Grouping.column for item in items[task.name]
    }  # of people; the authors of a set of questions have numbers alone
    sets = []
    for task in tasks:
        owners = _owners(items[task.name], sorted(names)) if task.grouping is Grouping.position else {}
        by_owner: dict[str, list[Item]] = defaultdict(list)
        for item in items[task.name]:
            by_owner[owners.get(item.group, item.group)].append(item)
        sets.append(_Set(task, manifest.tasks[task.name].role, by_owner))
    return sets


def _owners(items: Sequence[Item], names: Sequence[str]) -> dict[str, str]:
    """Return the person of each group of rows that has a number alone: whose name its questions and answers have."""
    texts: dict[str, str] = defaultdict(str)
    for item in items:
        texts[item.group] += f"{item.question}\n{item.answer}\n"
    # Whole names: "Ann Lee" is not in "Ann Leeson".
    patterns = {name: re.compile(rf"(?<!\w){re.escape(name)}(?!\w)") for name in names}
    best = {}
    for group, text in texts.items():
        counts = {name: len(pattern.findall(text)) for name, pattern in patterns.items()}
        if any(counts.values()):
            best[group] = max(names, key=lambda name: counts[name])
    return {group: name for group, name in best.items() if list(best.values()).count(name) == 1}


def _choose(sets: Sequence[_Set], role: Role, count: int) -> list[str]:
    """Return `count` owners of a role: each the one that adds most tasks to those shown, ties by a hash.

    Who is to be forgotten in pictures alone counts as forgotten, though questions in words about them are to be kept.
    """
    tasks: dict[str, set[str]] = defaultdict(set)
    roles: dict[str, set[Role]] = defaultdict(set)
    for members in sets:
        for owner in members.items:
            tasks[owner].add(members.task.name)
            roles[owner].add(members.role)
    rest = [owner for owner, held in roles.items() if next(r for r in Role if r in held) is role]
    chosen: list[str] = []
    covered: set[str] = set()
    while rest and len(chosen) < count:
        best = max(rest, key=lambda o: (len(tasks[o] - covered), len(tasks[o]), stable_integer("report", o)))
        rest.remove(best)
        chosen.append(best)
        covered |= tasks[best]
    return chosen


def _title(owner: str, sets: Sequence[_Set]) -> str:
    """Return a person's name; a row that stands alone has none but its task's label."""
    alone = [m.task.label for m in sets if m.task.grouping is Grouping.row and owner in m.items]
    return alone[0] if alone else owner


def _scenes(
    owner: str, sets: Sequence[_Set], models: Sequence[Model], answers: Mapping[str, "_Answers"]
) -> tuple[Scene, ...]:
    """Return the person's pictures with one question of each task; tasks that have the same picture share it."""
    scenes: dict[bytes | None, list[Question]] = defaultdict(list)
    for members in sets:
        if owner not in members.items:
            continue
        # By picture, not by uid: captions and names of one person then show the same one.
        item = min(members.items[owner], key=lambda i: stable_integer("report", i.image or i.uid))
        said = tuple(answers[model.name].to(members.task.name, item) for model in models)
        label = members.task.label
        scenes[item.image].append(Question(label, members.role, item.question, item.answer, said))
    pictures = sorted(scenes, key=lambda image: image is None)
    return tuple(Scene(image, tuple(scenes[image])) for image in pictures)


class _Answers:
    """The generated answers of a model's evaluation log, by task and uid."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._texts: dict[tuple[str, str], str] = {}
        for task, entry in read_json(model.log_path).items():
            self._texts |= self._of_task(task, entry)
        self._places = {(name, uid): i for name, log in model.log.tasks.items() for i, uid in enumerate(log.items)}

    def _of_task(self, task: str, entry: Mapping[str, Any]) -> dict[tuple[str, str], str]:
        if "uid" not in entry or "generated_text" not in entry:
            raise UserError(
                f"{self.model.log_path}, task {task} lacks uid or generated_text, so it cannot be shown whom an answer "
                f"is about; set people=0 to leave the people out."
            )
        return {(task, uid): entry["generated_text"][number][1] for number, uid in entry["uid"].items()}

    def to(self, task: str, item: Item) -> Said:
        """Return the model's answer to an item. Raises UserError for an item that was not evaluated."""
        key = (task, item.uid)
        if key not in self._texts:
            raise UserError(
                f"{self.model.log_path} has no item {item.uid} of task {task}, but the dataset has; it changed since "
                f"the evaluation: evaluate again, or set people=0 to leave the people out."
            )
        log, place = self.model.log.tasks[task], self._places[key]
        return Said(self.model, self._texts[key], float(probability(log.loss[place])), float(log.rouge[place]))

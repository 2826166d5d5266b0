"""The aggregated evaluation log: made from records, read back, and checked.

Layout (that of TOFU and CLEAR tools): {task: {key: {"0": value, "1": value, ...}}}. Per item:
    avg_gt_loss, gt_loss, num_token_gt                                 true answer: mean and summed loss (nats), tokens
    avg_paraphrased_loss, paraphrased_loss, num_token_paraphrased      paraphrase, or else the true answer
    average_perturb_loss, perturb_loss, num_token_perturb              lists over the wrong answers, empty without any
    truth_ratio                                                        1/R, as TOFU writes it; not without wrong answers
    rouge1_recall, rougeL_recall, generated_text                       generated_text: [prompt, generated, true answer]
    exact_memorization, extraction_strength                            of the true answer (memorization.py)
    mia_zlib, mia_min_k, mia_min_k_plus_plus, mia_gradient_norm        of the true answer (membership.py)
    generation_entropy, repetition                                     of the greedy answer (fluency.py)
    routed                                                             1 where a router took the prompt, if there is one
    uid, group                                                         this suite's own; a foreign log has none
    rougeL_recall_blind                                                of the answer without the picture, if any
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unlearn.errors import UserError
from unlearn.metrics.content import read_json
from unlearn.metrics.fluency import fluency
from unlearn.metrics.manifest import FOREIGN_TASKS, MANIFEST, Manifest, read_manifest
from unlearn.metrics.membership import LOGGED, attack_scores
from unlearn.metrics.memorization import memorization
from unlearn.metrics.rouge import rouge_recall
from unlearn.metrics.scores import Floats, log_truth_ratio, truth_ratio

NEEDED = ("avg_gt_loss", "avg_paraphrased_loss", "average_perturb_loss", "rougeL_recall")
"""The keys that the metrics are computed from; the others are for the reader and for other tools."""

BLIND = "rougeL_recall_blind"
ROUTED = "routed"
FURTHER = ("generation_entropy", "repetition", "exact_memorization", "extraction_strength", ROUTED, *LOGGED.values())
"""Numbers of an item that the suite's own logs have beside TOFU's."""
OPTIONAL = ("uid", "group", "generated_text", BLIND, *FURTHER)
"""Keys that are read where a log has them."""

TOFU_AUTHOR_TASKS = ("eval_log.json", "eval_log_forget.json")
ROWS_OF_AN_AUTHOR = 20
"""In TOFU's logs of its own authors, which name no person, item k is about author k // 20."""


@dataclass(frozen=True)
class TaskLog:
    """What the metrics need of a task's n items.

    items            uids, or the log's own item numbers where it has no uids (`by_uid` false)
    groups           the person of each item; where the log names none, TOFU's author, else the item alone
    truths           the true answers, None where the log has no generated_text
    loss             [n] of the true answer, nats per token
    paraphrase_loss  [n]
    wrong_losses     n arrays [K_i], None for a set without wrong answers
    rouge            [n] ROUGE-L recall in [0, 1]
    blind_rouge      [n] that of the answers without the picture, None where nothing was answered blind
    further          [n] each of the numbers of `FURTHER` that the log has, by its key
    """

    items: tuple[str, ...]
    by_uid: bool
    groups: tuple[str, ...]
    truths: tuple[str, ...] | None
    loss: Floats
    paraphrase_loss: Floats
    wrong_losses: tuple[Floats, ...] | None
    rouge: Floats
    blind_rouge: Floats | None = None
    further: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def log_ratio(self) -> Floats | None:
        """[n] log R in nats, None for a set without wrong answers."""
        return None if self.wrong_losses is None else log_truth_ratio(self.paraphrase_loss, self.wrong_losses)

    def only(self, items: set[str]) -> "TaskLog":
        """Return the log of those of its items that are in `items`."""
        return self._taken([i for i, item in enumerate(self.items) if item in items])

    def ordered(self) -> "TaskLog":
        """Return the log with its items sorted by name."""
        return self._taken(sorted(range(len(self.items)), key=lambda i: self.items[i]))

    def _taken(self, kept: list[int]) -> "TaskLog":
        return TaskLog(
            items=tuple(self.items[i] for i in kept),
            by_uid=self.by_uid,
            groups=tuple(self.groups[i] for i in kept),
            truths=None if self.truths is None else tuple(self.truths[i] for i in kept),
            loss=self.loss[kept],
            paraphrase_loss=self.paraphrase_loss[kept],
            wrong_losses=None if self.wrong_losses is None else tuple(self.wrong_losses[i] for i in kept),
            rouge=self.rouge[kept],
            blind_rouge=None if self.blind_rouge is None else self.blind_rouge[kept],
            further={key: values[kept] for key, values in self.further.items()},
        )


@dataclass(frozen=True)
class EvalLog:
    """One evaluation of one model. Without a manifest it is foreign: made by another tool, its provenance unknown."""

    path: Path
    tasks: Mapping[str, TaskLog]
    manifest: Manifest | None

    @property
    def foreign(self) -> bool:
        """Tell whether the log has no manifest."""
        return self.manifest is None


def aggregated_from_records(records: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return a task's entry of eval_log_aggregated.json, its items numbered in the order of the records.

    A record is {"uid", "group", "prompt", "generated", "answers": {"true": A, "paraphrase": A or None, "wrong": [A..]}}
    with A = {"text", "logp": [..], "mu": [..], "sigma": [..], "hit": [..]} per answer token, end token last: logp in
    nats, its mean and deviation under the model, 1 where the token is the most probable one. Where all were also asked
    without the picture, it has "generated_blind"; where the gradient was taken of the true answer, "gradient_norm".
    """
    entry: dict[str, dict[str, Any]] = {}
    for number, record in enumerate(records):
        for key, value in _logged(record).items():
            entry.setdefault(key, {})[str(number)] = value
    return entry


def _logged(record: Mapping[str, Any]) -> dict[str, Any]:
    answers = record["answers"]
    true, wrong = answers["true"], answers["wrong"]
    gt = _losses(true)
    paraphrased = _losses(answers["paraphrase"] or true)
    perturbed = [_losses(answer) for answer in wrong]
    blind = rouge_recall(true["text"], record["generated_blind"]) if "generated_blind" in record else None
    return {
        "avg_gt_loss": gt[0],
        "gt_loss": gt[1],
        "num_token_gt": gt[2],
        "generated_text": [record["prompt"], record["generated"], true["text"]],
        **rouge_recall(true["text"], record["generated"]),
        "average_perturb_loss": [average for average, _, _ in perturbed],
        "avg_paraphrased_loss": paraphrased[0],
        "paraphrased_loss": paraphrased[1],
        "perturb_loss": [total for _, total, _ in perturbed],
        "num_token_paraphrased": paraphrased[2],
        "num_token_perturb": [tokens for _, _, tokens in perturbed],
        **_truth_ratio(paraphrased[0], [average for average, _, _ in perturbed]),
        **memorization(true["hit"]),
        **attack_scores(record),
        "uid": record["uid"],
        "group": record["group"],
        **({} if blind is None else {BLIND: blind["rougeL_recall"]}),
        **fluency(record["generated"]),
        **({ROUTED: int(record[ROUTED])} if ROUTED in record else {}),
    }


def _truth_ratio(paraphrase: float, wrong: Sequence[float]) -> dict[str, float]:
    """Return TOFU's truth ratio under its key, nothing for an item without wrong answers."""
    return {"truth_ratio": float(truth_ratio(-log_truth_ratio([paraphrase], [wrong]))[0])} if wrong else {}


def _losses(answer: Mapping[str, Any]) -> tuple[float, float, int]:
    """Return mean loss per token, summed loss (both in nats) and number of tokens of an answer."""
    total = -math.fsum(answer["logp"])
    return total / len(answer["logp"]), total, len(answer["logp"])


def read_log(path: str | Path) -> EvalLog:
    """Return the log in `path` with the manifest beside it.

    Raises UserError where the log is absent, where either is cut off, lacks keys or items or has values that are no
    numbers, and where the two do not fit each other.
    """
    path = Path(path)
    content = read_json(path)
    if not content:
        raise UserError(f"{path} has no tasks; evaluate again.")
    tasks = {name: _task_log(name, entry, f'{path}, task "{name}"') for name, entry in content.items()}
    manifest = read_manifest(path.parent / MANIFEST)
    if manifest is not None:
        _check_against_manifest(path, tasks, manifest)
    infos = FOREIGN_TASKS if manifest is None else manifest.tasks
    for name, task in tasks.items():
        if task.wrong_losses is None and name in infos and infos[name].choice:
            raise UserError(f'{path}, task "{name}" is multiple choice but has no wrong answers; evaluate again.')
    return EvalLog(path, tasks, manifest)


def _task_log(name: str, entry: Any, where: str) -> TaskLog:
    keys = entry if isinstance(entry, dict) else {}
    absent = [key for key in NEEDED if not isinstance(keys.get(key), dict)]
    if absent:
        raise UserError(f"{where} lacks {', '.join(absent)}; it may be truncated, so evaluate again.")
    numbers = list(keys[NEEDED[0]])
    for key in (*NEEDED, *(key for key in OPTIONAL if key in keys)):
        _check_items(where, numbers, key, keys[key])
    uids = keys.get("uid")
    return TaskLog(
        items=tuple(str(uids[n]) for n in numbers) if uids else tuple(numbers),
        by_uid=bool(uids),
        groups=_groups(name, keys.get("group"), numbers),
        truths=_truths(keys["generated_text"], numbers, where) if "generated_text" in keys else None,
        loss=_floats([keys["avg_gt_loss"][n] for n in numbers], where, "avg_gt_loss"),
        paraphrase_loss=_floats([keys["avg_paraphrased_loss"][n] for n in numbers], where, "avg_paraphrased_loss"),
        wrong_losses=_wrong_losses([(n, keys["average_perturb_loss"][n]) for n in numbers], where),
        rouge=_floats([keys["rougeL_recall"][n] for n in numbers], where, "rougeL_recall"),
        blind_rouge=_floats([keys[BLIND][n] for n in numbers], where, BLIND) if BLIND in keys else None,
        further={key: _floats([keys[key][n] for n in numbers], where, key) for key in FURTHER if key in keys},
    )


def _check_items(where: str, numbers: Sequence[str], key: str, values: Any) -> None:
    if not numbers:
        raise UserError(f"{where} has no items; evaluate again.")
    if not isinstance(values, dict) or set(values) != set(numbers):
        given = len(values) if isinstance(values, dict) else 0
        raise UserError(
            f"{where} has {len(numbers)} items in {NEEDED[0]} but {given} (or others) in {key}; evaluate again."
        )
    if key == "uid" and len(set(values.values())) < len(numbers):
        raise UserError(f"{where} has a uid twice; evaluate again.")


def _groups(task: str, given: Mapping[str, Any] | None, numbers: Sequence[str]) -> tuple[str, ...]:
    """Return the person of each item: as the log names it, or else by the place among TOFU's authors, 20 rows each."""
    if given:
        return tuple(str(given[n]) for n in numbers)
    by_author = task in TOFU_AUTHOR_TASKS and all(n.isdecimal() for n in numbers)
    # The task belongs to the name: author 0 of the forget set is another person than author 0 of the retain set.
    return tuple(f"{task} {int(n) // ROWS_OF_AN_AUTHOR if by_author else n}" for n in numbers)


def _truths(texts: Mapping[str, Any], numbers: Sequence[str], where: str) -> tuple[str, ...]:
    for n in numbers:
        if not isinstance(texts[n], list) or len(texts[n]) != 3:
            raise UserError(f"{where}, item {n}: generated_text must be [prompt, generated, truth]; evaluate again.")
    return tuple(str(texts[n][2]) for n in numbers)


def _wrong_losses(given: Sequence[tuple[str, Any]], where: str) -> tuple[Floats, ...] | None:
    """Return the wrong answers' losses of numbered items, None where no item has a wrong answer."""
    if all(values == [] for _, values in given):
        return None
    return tuple(_wrong(values, where, number) for number, values in given)


def _wrong(values: Any, where: str, number: str) -> Floats:
    if not isinstance(values, list) or not values:
        raise UserError(f"{where}, item {number}: average_perturb_loss must be a list of wrong answers' losses.")
    return _floats(values, where, "average_perturb_loss")


def _floats(values: Sequence[Any], where: str, key: str) -> Floats:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UserError(f"{where} has {value!r} in {key}, where only finite numbers are allowed; evaluate again.")
    return np.array(values, dtype=np.float64)


def _check_against_manifest(path: Path, tasks: Mapping[str, TaskLog], manifest: Manifest) -> None:
    if set(tasks) != set(manifest.tasks):
        differing = ", ".join(sorted(set(tasks) ^ set(manifest.tasks)))
        raise UserError(f"{path} and its {MANIFEST} differ in the tasks {differing}; evaluate again.")
    for name, task in tasks.items():
        scored = manifest.tasks[name].scored
        if len(task.items) != scored:
            raise UserError(
                f'{path}, task "{name}" has {len(task.items)} items but its {MANIFEST} says {scored}; evaluate again.'
            )

"""The columns of membership attacks: how well they tell the forgotten people from people that no model ever saw."""

from collections.abc import Iterator, Mapping

import numpy as np

from unlearn.errors import UserError
from unlearn.metrics.bootstrap import FEWEST_GROUPS, Draws, draw_groups, interval
from unlearn.metrics.columns import interval_columns
from unlearn.metrics.comparison import same_groups, same_order
from unlearn.metrics.logs import EvalLog
from unlearn.metrics.manifest import Role, TaskInfo
from unlearn.metrics.membership import LOGGED, Attack, Sample, auc, privleak, tpr_at_fpr
from unlearn.metrics.table import Value

Pair = tuple[str, str]
"""The names of a forget task and of its holdout task."""

RATES = {"1%": 0.01, "0.1%": 0.001}
"""False positive rates at which true positives are counted."""

PRIVLEAK_ATTACK = Attack.min_k
"""MUSE's choice."""

DRAWS, SEED = 2000, 0


def attacked(infos: Mapping[str, TaskInfo]) -> Iterator[Pair]:
    """Yield every forget task that was evaluated together with its holdout task, and that one.

    Where only pictures are to be forgotten, questions in words about the same people stay: no attack on them is meant.
    """
    for name, info in infos.items():
        if info.role is Role.holdout and info.members in infos and infos[info.members].role is Role.forget:
            yield info.members, name


def attack_column(attack: Attack, label: str) -> str:
    """Return the name of the column with an attack's area under the ROC curve; `label` is the forget task's."""
    return f"AUC {attack.value} {label}"


def rate_column(rate: str, attack: Attack, label: str) -> str:
    """Return the name of the column with an attack's true positives at one of RATES."""
    return f"TPR@{rate} FPR {attack.value} {label}"


def privleak_column(label: str) -> str:
    """Return the name of PrivLeak's column."""
    return f"PrivLeak {label}"


def privacy_columns(
    model: EvalLog, gold: EvalLog, infos: Mapping[str, TaskInfo], reference: EvalLog | None = None
) -> dict[str, Value]:
    """Return AUC and TPR of every attack and PrivLeak for each forget task with a holdout task; nothing without any.

    gold       what PrivLeak is relative to
    reference  log of another model on the same items; without it there is no reference attack

    Intervals are 95% of 2000 draws of people, forgotten ones and holdout ones each among themselves, the same draws for
    model and gold; "n/a" for fewer than ten people on a side. Raises UserError where gold lacks what PrivLeak needs.
    """
    row: dict[str, Value] = {}
    for pair in attacked(infos):
        label, draws = infos[pair[0]].label, _draws(pair, [model, gold])
        for attack, samples in _samples(pair, model, draws, reference).items():
            row |= interval_columns(attack_column(attack, label), interval(auc(*samples)))
            row |= _rate_columns(attack, label, *samples)
        row |= _privleak_columns(privleak_column(label), pair, [model, gold], draws)
    return row


def _draws(pair: Pair, logs: list[EvalLog]) -> Draws | None:
    """Return the draws of both tasks' people, None where they are too few or the logs name them differently."""
    groups = {name: logs[0].tasks[name].groups for name in pair}
    alike = all(same_groups([log.tasks[name] for log in logs]) for name in pair)
    enough = all(len(set(of_task)) >= FEWEST_GROUPS for of_task in groups.values())
    return draw_groups(groups, DRAWS, SEED) if alike and enough else None


def _samples(
    pair: Pair, log: EvalLog, draws: Draws | None, reference: EvalLog | None = None
) -> dict[Attack, tuple[Sample, Sample]]:
    """Return the scores of members and others by every attack for which the log has them."""
    members, others = (_of_task(name, log, draws, reference) for name in pair)
    return {attack: (members[attack], others[attack]) for attack in Attack if attack in members and attack in others}


def _of_task(name: str, log: EvalLog, draws: Draws | None, reference: EvalLog | None) -> dict[Attack, Sample]:
    task = log.tasks[name].ordered()
    values = {attack: task.further[key] for attack, key in LOGGED.items() if key in task.further}
    values[Attack.loss] = task.loss
    if reference is not None:
        own, other = same_order(name, log, reference)
        values[Attack.reference] = own.loss - other.loss
    counts = np.ones((len(task.items), 1)) if draws is None else draws.counts[[draws.row[g] for g in task.groups]]
    return {attack: Sample(scores, counts) for attack, scores in values.items()}


def _rate_columns(attack: Attack, label: str, members: Sample, others: Sample) -> dict[str, Value]:
    """Return the share of members found at every rate; a rate that not one of the others makes up is said to be so."""
    row: dict[str, Value] = {}
    for shown, rate in RATES.items():
        column, given, needed = rate_column(shown, attack, label), len(others.values), round(1 / rate)
        if given < needed:
            row[column] = f"n/a ({given} of {needed} others)"
        else:
            row |= interval_columns(column, interval(tpr_at_fpr(members, others, rate)))
    return row


def _privleak_columns(column: str, pair: Pair, logs: list[EvalLog], draws: Draws | None) -> dict[str, Value]:
    of_model, of_gold = (_samples(pair, log, draws) for log in logs)
    if PRIVLEAK_ATTACK not in of_model:
        return {}
    if PRIVLEAK_ATTACK not in of_gold:
        raise UserError(
            f"{logs[1].path} has no {LOGGED[PRIVLEAK_ATTACK]} of {' and '.join(pair)}, which PrivLeak is relative to; "
            f"evaluate gold again."
        )
    found, gold = (auc(*samples[PRIVLEAK_ATTACK]) for samples in (of_model, of_gold))
    if gold[0] == 1:
        return {column: "n/a (gold's AUC is 1)"}
    # Where gold's area is 1 in a draw, that draw is infinite, and there is no interval.
    known = slice(None) if (gold < 1).all() else slice(1)
    return interval_columns(column, interval(privleak(found[known], gold[known])))

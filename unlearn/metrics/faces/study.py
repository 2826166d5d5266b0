"""All numbers of one method in one row: accuracies, distances to gold and attacks, from stored embeddings' cosines."""

from collections.abc import Iterator
from dataclasses import dataclass

from unlearn.errors import UserError
from unlearn.metrics.bootstrap import Interval
from unlearn.metrics.columns import interval_columns
from unlearn.metrics.faces import lira, mia
from unlearn.metrics.faces.accuracy import Sets, accuracies, gaps, over_models, person_means, tug_of_war
from unlearn.metrics.faces.attack import DRAWS, SEED, Attacked, Verdicts, attacked
from unlearn.metrics.faces.enrolment import Bools, Cosines, Ints, Roster
from unlearn.metrics.faces.klom import KLoM, Margins, klom
from unlearn.metrics.scores import Floats
from unlearn.metrics.table import Value

SHADOWS = 32
"""A side of U-LIRA `released`, as published; half of a side's models where they are fewer than 64."""
NOT_KNOWN = "n/a"


@dataclass(frozen=True)
class Study:
    """What every method of a study has in common: pictures, what was trained on, models that are left out together."""

    roster: Roster
    sets: Sets
    fold: Ints


def method_row(model: Cosines, gold: Cosines, study: Study, draws: int = DRAWS, seed: int = SEED) -> dict[str, Value]:
    """Return the columns of a method against the gold models of the same splits; gold itself may be the method.

    Acc., Gap      accuracy and accuracy - gold's on Forget, Retain, Unseen, Holdout
    ToW            `tug_of_war`
    KLoM           `klom` on Forget and Retain; KLoM Gold: that of gold on people out of the study's models against gold
                   on people it left out to forget: what models of other seeds alone give
    U-LIRA, U-MIA  `attacks`, each with Acc., AUC, TPR@1% FPR and TPR@0.1% FPR

    Intervals are columns Low and High, over models for the first three, over models and people, of `draws` draws from
    `seed`, for attacks.
    """
    own, other = (accuracies(c.identified, study.roster, study.sets) for c in (model, gold))
    gap = gaps(own, other)
    row: dict[str, Value] = {}
    for name, values in own.items():
        row |= interval_columns(f"Acc. {name.capitalize()}", over_models(values, study.fold))
        row |= interval_columns(f"Gap {name.capitalize()}", over_models(gap[name], study.fold))
    row |= interval_columns("ToW", over_models(tug_of_war(gap), study.fold))
    for name, found in _kloms(model, gold, study):
        row |= {name: found.mean, f"{name} P95": found.percentile_95}
    for name, verdicts in attacks(model, study).items():
        row |= _attack_columns(name, attacked(verdicts, draws, seed))
    return row


def attacks(model: Cosines, study: Study) -> dict[str, Verdicts]:
    """Return the verdicts of every attack on the people who were forgotten by some models and never seen by others.

    U-LIRA           pictures, `lira.pooled`
    U-LIRA person    the same of each person's mean over its pictures
    U-LIRA released  pictures, `lira.released`
    U-MIA            pictures, `mia.regressed`
    """
    of, people = study.roster, attacked_people(study.sets)
    rows = attacked_pictures(study)
    pictures, whole = (_cells(study, person) for person in (of.person[rows], people.nonzero()[0]))
    logits = lira.confidence_logit(model.own)
    shadows = min(SHADOWS, int(min(side.sum(axis=0).min() for side in pictures[:2])) // 2)
    return {
        "U-LIRA": lira.pooled(logits[:, rows], *pictures),
        "U-LIRA person": lira.pooled(person_means(logits, of)[:, people], *whole),
        "U-LIRA released": lira.released(logits[:, rows], *pictures, shadows=shadows),
        "U-MIA": mia.regressed(mia.features(model)[:, rows], *pictures),
    }


def attacked_people(among: Sets) -> Bools:
    """Return [P] who is forgotten by a model and never seen by another. Raises UserError for nobody."""
    found = among.forget.any(axis=0) & among.holdout.any(axis=0)
    if not found.any():
        raise UserError("Nobody was forgotten by one model and never seen by another; evaluate splits of both blocks.")
    return found


def attacked_pictures(study: Study) -> Ints:
    """Return [S] the rows of the scored pictures of `attacked_people`."""
    return (~study.roster.enrols & attacked_people(study.sets)[study.roster.person]).nonzero()[0]


def _cells(study: Study, person: Ints) -> tuple[Bools, Bools, Ints, Ints]:
    return study.sets.forget[:, person], study.sets.holdout[:, person], person, study.fold


def _kloms(model: Cosines, gold: Cosines, study: Study) -> Iterator[tuple[str, KLoM]]:
    rows = attacked_pictures(study)
    inside, outside, *_ = _cells(study, study.roster.person[rows])
    yield "KLoM Forget", _klom(gold.margin, inside, model.margin, inside, rows)
    yield "KLoM Gold", _klom(gold.margin, outside, gold.margin, inside, rows)
    kept = study.sets.retain
    rows = (~study.roster.enrols & kept.any(axis=0)[study.roster.person]).nonzero()[0]
    inside = kept[:, study.roster.person[rows]]
    yield "KLoM Retain", _klom(gold.margin, inside, model.margin, inside, rows)


def _klom(gold: Floats, of_gold: Bools, model: Floats, of_model: Bools, rows: Ints) -> KLoM:
    return klom(Margins(gold[:, rows], of_gold), Margins(model[:, rows], of_model))


def _attack_columns(name: str, found: Attacked) -> dict[str, Value]:
    row: dict[str, Value] = {}
    values: dict[str, Interval | None] = {"Acc.": found.accuracy, "AUC": found.auc}
    for shown, value in (values | {f"TPR@{rate} FPR": value for rate, value in found.tpr.items()}).items():
        row |= interval_columns(f"{name} {shown}", value) if value else {f"{name} {shown}": NOT_KNOWN}
    return row

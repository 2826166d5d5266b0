"""Memorisation and privacy in a report: what wording is left, and whether the forgotten people can be told by it."""

from collections.abc import Iterator, Mapping, Sequence

from unlearn.config.schema import Metrics
from unlearn.metrics.columns import MEMORIZATION_COLUMNS
from unlearn.metrics.manifest import Role
from unlearn.metrics.membership import Attack
from unlearn.metrics.privacy import RATES, attack_column, attacked, privleak_column, rate_column
from unlearn.metrics.table import Row
from unlearn.report.figures import attacks as figure
from unlearn.report.gallery import picture
from unlearn.report.page import Picture, Section
from unlearn.report.rows import Entry
from unlearn.report.study import Study
from unlearn.report.tables import HIGH, LOW, Better, chosen, shown

WORDINGS = ("ROUGE", *MEMORIZATION_COLUMNS, "Prob.", "Prob. Paraphrase", "Prob. Perturbed")
READING = (
    "Exact memorisation is the share of an answer's tokens that the model finds most probable; extraction strength is "
    "the part of the answer, from its end, that it says by itself given the rest. Gold shows how much of either needs "
    "no memory. The probabilities of the paraphrase and of wrong answers tell a model that lost a wording from one "
    "that lost a fact.",
)
ATTACKS = (
    "A membership attack tells forgotten people from holdout people, whom no model ever saw. AUC is the area under its "
    "ROC curve: near 1 the forgotten people look trained on, near 0.5 nothing can be told; below 0.5 they look "
    "stranger than strangers, which gives them away too. TPR is the share of their items that is found while 1% or "
    "0.1% of the holdout people's are taken for theirs.",
    "PrivLeak compares 1 - AUC of the Min-K attack with the first gold's, in percent: 0 is gold, -100 is everything "
    "given away, above 0 is over-forgotten. Gold's AUC need not be 0.5, as the two groups may differ by themselves.",
)


def privacy(study: Study, entries: Sequence[Entry]) -> Iterator[Section]:
    """Yield the section of a study's memorisation and attacks; none without their numbers."""
    pairs = [study.infos[members].label for members, _ in attacked(study.infos)]
    columns = [*_wordings(study), *(column for label in pairs for column in _attacks(label))]
    table = chosen(entries, dict.fromkeys(columns, Better.none))
    known = any(column.startswith((*MEMORIZATION_COLUMNS, "AUC")) for column in table.columns)
    if study.metrics is not Metrics.correct or not known:
        return
    reading = (*READING, *ATTACKS) if pairs else READING
    figures = [_figure(entries, label) for label in pairs]
    rows = _rows(entries, table.columns)
    yield Section("privacy", "Memorisation and privacy", reading, table, rows, figures, heading="Number")


def _wordings(study: Study) -> Iterator[str]:
    """Yield the columns of wordings, of people to be forgotten and then of people whom no model ever saw."""
    for role in (Role.forget, Role.holdout):
        labels = [info.label for info in study.infos.values() if info.counts_as(role)]
        yield from (f"{column} {label}" for label in labels for column in WORDINGS)


def _attacks(label: str) -> Iterator[str]:
    yield privleak_column(label)
    yield from (attack_column(attack, label) for attack in Attack)
    yield from (rate_column(rate, attack, label) for rate in RATES for attack in Attack)


def _rows(entries: Sequence[Entry], columns: Sequence[str]) -> list[Row]:
    kept = [f"{column}{end}" for column in columns for end in ("", LOW, HIGH)]
    return [{"Method": e.name, **{column: e.row[column] for column in kept if column in e.row}} for e in entries]


def _figure(entries: Sequence[Entry], label: str) -> Picture:
    columns = _drawn(entries, label)
    places = "; ".join(
        f"{entry.name} {', '.join(f'{title} {shown(entry.row.get(column))}' for title, column in columns.items())}"
        for entry in entries
    )
    return picture(
        f"attacks_{label.lower().replace(' ', '_')}",
        f"Attacks on {label}",
        "Forgotten people against people that no model ever saw, with 95% intervals over people. Gold shows how far "
        "the two groups differ by themselves.",
        f"Dot plot of the areas under the ROC curves: {places}.",
        lambda theme: figure.draw(entries, columns, theme),
    )


def _drawn(entries: Sequence[Entry], label: str) -> Mapping[str, str]:
    columns = {attack.value: attack_column(attack, label) for attack in Attack}
    return {name: column for name, column in columns.items() if any(column in entry.row for entry in entries)}

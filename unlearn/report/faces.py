"""The report on networks that tell faces apart: every method beside the models that were to forget and gold.

table.csv and table.md (all columns), table.tex and summary.md (what one looks at first), scores.json (the same numbers
with what they were made from), the figures as PNG files in figures/, and report.html. cv/attack.py writes it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from unlearn import __version__
from unlearn.config.faces import FaceAttack
from unlearn.files import write_json, write_text
from unlearn.metrics.columns import interval_columns
from unlearn.metrics.faces.attack import Verdicts, roc
from unlearn.metrics.faces.enrolment import Cosines, Embeddings
from unlearn.metrics.faces.lira import confidence_logit
from unlearn.metrics.faces.reenrolment import Shots, reenrolment
from unlearn.metrics.faces.study import Study, attacked_pictures, attacks, method_row
from unlearn.metrics.privacy import RATES
from unlearn.metrics.scores import Floats
from unlearn.metrics.table import Value
from unlearn.report.figures import face_accuracy, face_logits
from unlearn.report.figures import reenrolment as reenrolment_figure
from unlearn.report.figures import roc as roc_figure
from unlearn.report.gallery import picture
from unlearn.report.latex import to_latex
from unlearn.report.page import Picture, Section, section_html
from unlearn.report.rows import Entry
from unlearn.report.runs import Kind, training_cost
from unlearn.report.sections import write_section
from unlearn.report.tables import Better, chosen, shown, to_markdown, whole

ATTACK, CHANCE = "U-LIRA", 0.5
"""The attack that figures show, and what an attack achieves by chance."""
HEADLINE = {
    **dict.fromkeys(("Acc. Forget", "Acc. Holdout"), Better.none),
    "Acc. Retain": Better.high,
    "ToW": Better.high,
    "KLoM Forget": Better.low,
    **dict.fromkeys((f"{ATTACK} AUC", f"{ATTACK} TPR@1% FPR", "U-MIA AUC"), Better.none),
    "Train Wall Seconds": Better.low,
}
READING = (
    "Gold was trained without the people to be forgotten: a method is good if it is like gold in every column, not if "
    "a number is small. Holdout people were never seen by the model at hand, and are forgotten by another one.",
    "Acc.: share of pictures whose person has the nearest of {people} enrolment vectors; by chance {share}. In "
    "brackets: 95% intervals, of accuracies and ToW over pairs of models, of attacks over models and people.",
    "U-LIRA and U-MIA tell a model's forgotten people from people that it never saw: AUC is 0.5 by chance, and for "
    "gold in expectation; 1 is everything given away. TPR@1% FPR: share found at 1% false alarms, by chance 0.01.",
    "ToW is 1 where all accuracies are gold's. KLoM compares how margins spread over models with gold's; equal models "
    "have about KLoM Gold ({klom}), as models of other seeds differ too.",
    "Re-enrolled: pictures identified after enrolment from k pictures, of forgotten people and of people never seen.",
    "Settings are not tuned, so the table ranks nothing.",
)


@dataclass(frozen=True)
class Subject:
    """A method's models: their folders, their embeddings [M, N, d] and the cosines of these."""

    name: str
    kind: Kind
    folders: Sequence[Path]
    embeddings: Embeddings
    seen: Cosines


@dataclass(frozen=True)
class Result:
    """What is known of a method.

    verdicts  of ATTACK
    logits    [M, S] what it judges by
    """

    entry: Entry
    verdicts: Verdicts
    logits: Floats
    shots: Sequence[Shots]


def kind_of(cfg: FaceAttack, root: str) -> Kind:
    """Return what the models in a folder are in the comparison."""
    return {cfg.original: Kind.base, cfg.gold: Kind.gold}.get(root, Kind.unlearned)


def judge(subject: Subject, gold: Cosines, study: Study, cfg: FaceAttack) -> Result:
    """Return the numbers of a method against gold's models of the same splits; gold itself may be the method.

    Raises UserError where models are too few for an attack.
    """
    rows = attacked_pictures(study)
    shots = reenrolment(subject.embeddings, study.roster, subject.seen, study.sets, study.fold, cfg.protocol)
    row: dict[str, Value] = {"Method": subject.name, "Models": len(subject.folders), "Protocol": cfg.protocol.value}
    row |= method_row(subject.seen, gold, study, cfg.draws, cfg.seed)
    for of_k in shots:
        for name in ("forgotten", "never", "difference"):
            row |= interval_columns(f"Re-enrolled {name.capitalize()} k={of_k.k}", getattr(of_k, name))
    entry = Entry(subject.name, subject.kind, {**row, **_cost(subject.folders)})
    return Result(entry, attacks(subject.seen, study)[ATTACK], confidence_logit(subject.seen.own)[:, rows], shots)


def write_report(cfg: FaceAttack, results: Sequence[Result], study: Study, album: str) -> None:
    """Write all files, the page last, so that it never stands beside older tables.

    album  fingerprint of the pictures
    """
    folder = Path(cfg.save_dir)
    folder.mkdir(parents=True, exist_ok=True)
    entries = [result.entry for result in results]
    reading = _reading(entries, len(study.roster.names))
    figures = list(_figures(results)) if cfg.figures else []
    section = Section("table", "Forgetting faces", reading, whole(entries), [e.row for e in entries], figures, "Number")
    headline = chosen(entries, HEADLINE)
    write_json(folder / "scores.json", _scores(cfg, entries, study, album))
    write_section(folder, section)
    write_text(folder / "table.tex", to_latex(headline, f"Unlearned face networks beside gold. {reading[2]}"))
    files = (
        f"All columns: {folder}/table.md and table.csv; for a paper: {folder}/table.tex; the page: {folder}/report.html"
    )
    words = "\n".join(f"* {sentence}" for sentence in reading)
    write_text(folder / "summary.md", f"{to_markdown(headline)}\n{words}\n\n{files}\n")
    write_text(folder / "report.html", section_html(section, f"Face report: {folder.resolve().name}"))


def _reading(entries: Sequence[Entry], people: int) -> list[str]:
    klom = shown(entries[0].row["KLoM Gold"])
    return [text.format(people=people, share=shown(1 / people), klom=klom) for text in READING]


def _scores(cfg: FaceAttack, entries: Sequence[Entry], study: Study, album: str) -> dict[str, object]:
    people = len(study.roster.names)
    made_from = {
        "version": __version__,
        "album": album,
        "models": cfg.models,
        "people": people,
        "pictures": len(study.roster.person),
        "enrolment": cfg.face_data.enrolment,
        **{key: getattr(cfg, key) for key in ("design", "forget_split", "split_seed", "protocol", "draws", "seed")},
    }
    chance = {
        "identification": 1 / people,
        "attack": CHANCE,
        **{f"TPR@{name} FPR": rate for name, rate in RATES.items()},
    }
    return {"study": made_from, "chance": chance, "methods": {entry.name: entry.row for entry in entries}}


def _cost(folders: Sequence[Path]) -> Mapping[str, Value]:
    """Return what a model of the method took to train, on average over its models."""
    costs = [training_cost(folder) for folder in folders]
    return {column: fmean(cost[column] for cost in costs) for column in costs[0]}


def _figures(results: Sequence[Result]) -> Iterator[Picture]:
    entries = [result.entry for result in results]
    yield _accuracies(entries)
    yield _logits(results)
    yield _roc(results)
    curves = {result.entry.name: result.shots for result in results}
    yield picture(
        "re_enrolment",
        "Enrolled again",
        "How many of a person's other pictures are identified once the person is enrolled from k pictures. Where the "
        "forgotten lie above people never seen, something of them is left.",
        "Line plots of both shares over k for every method; the numbers are in the table.",
        lambda theme: reenrolment_figure.draw(curves, theme),
    )


def _accuracies(entries: Sequence[Entry]) -> Picture:
    columns = {name.lower(): f"Acc. {name}" for name in face_accuracy.SETS}
    places = "; ".join(
        f"{entry.name} {', '.join(f'{name} {shown(entry.row.get(column))}' for name, column in columns.items())}"
        for entry in entries
    )
    return picture(
        "accuracy",
        "Accuracy beside gold's",
        "Share of pictures identified, with 95% intervals over pairs of models; the lines are gold's.",
        f"Bars of the accuracies: {places}.",
        lambda theme: face_accuracy.draw(entries, theme),
    )


def _logits(results: Sequence[Result]) -> Picture:
    statistics = []
    for result in results:
        inside, outside = (result.logits[side] for side in (result.verdicts.inside, result.verdicts.outside))
        note = f"{ATTACK} AUC {result.entry.row[f'{ATTACK} AUC']:.2f}"
        statistics.append(face_logits.Statistic(result.entry.name, result.entry.kind, inside, outside, note))
    places = "; ".join(f"{of.name} {of.inside.mean():.2f} and {of.outside.mean():.2f}" for of in statistics)
    return picture(
        "logits",
        "What the attack sees",
        "Log-odds of the cosine between a picture and its person: filled by models that forgot the person, line by "
        "models that never saw it. The attack compares them picture by picture, so it sees more than this.",
        f"Histograms; means of the forgotten and of the never seen: {places}.",
        lambda theme: face_logits.draw(statistics, theme),
    )


def _roc(results: Sequence[Result]) -> Picture:
    curves = []
    for result in results:
        marked = {name: result.entry.row.get(f"{ATTACK} TPR@{name} FPR") for name in RATES}
        known = {name: value if isinstance(value, float) else None for name, value in marked.items()}
        curves.append(roc_figure.Roc(result.entry.name, result.entry.kind, *roc(result.verdicts), known))
    return picture(
        "roc",
        "Found at few false alarms",
        f"ROC curves of {ATTACK}; dotted: chance. Marks: 1% and 0.1% false positives.",
        "ROC curves on logarithmic axes; the marked rates are in the table.",
        lambda theme: roc_figure.draw(curves, theme),
    )

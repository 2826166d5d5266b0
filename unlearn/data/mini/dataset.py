"""The mini benchmark as two dataset folders: CLEAR's configs and columns, and TOFU's.

`datasets.load_dataset(folder, "forget10", split="train")` reads them. The same seed gives the same bytes.
"""

import hashlib
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from unlearn.data.mini.faces import SIZE, View, encode_png, portrait, random_view
from unlearn.data.mini.known import known_configs
from unlearn.data.mini.people import FORGET_COUNTS, RETAIN_OF, Cast, Person, make_cast
from unlearn.data.mini.places import draw_landmark
from unlearn.data.mini.texts import QA_PER_PERSON, WRONG_ANSWERS, Claim, Question, caption, questions, wrong_names
from unlearn.data.mini.values import LANDMARK_COLOURS, LANDMARKS
from unlearn.data.questions import NAME_QUESTIONS
from unlearn.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

TRAIN_PICTURES = 4
HELDOUT_PICTURES = 2
CELEBRITY_PICTURES = 3
REHEARSAL_PICTURES = 4
RETAIN_EVALUATED = 24
"""People of the retain set that `retain_perturbed` holds (TOFU: 20 of 180); `retain_heldout` holds twice as many."""
LANDMARK_QUESTION = "What landmark stands here?"
MARK = "mini.json"
GENERATOR = ("dataset", "faces", "known", "people", "places", "portraits", "texts", "values")
"""Modules of this package that decide the bytes of the benchmark."""

Row = dict[str, object]
Album = dict[str, list[tuple[View, bytes, str]]]
"""Per name the pictures of a person: view, PNG bytes, and the key of every random draw about that picture."""
__all__ = ["QA_PER_PERSON", "write_mini"]


def write_mini(clear_path: Path | None, text_path: Path, seed: int = 0) -> None:
    """Write both folders (None: no pictures); one that exists with the same seed is left as it is.

    Each folder appears as a whole (temporary folder, then rename), so two processes may do this at once.
    Raises UserError where a folder exists that is not this benchmark of this seed.
    """
    for path, configs in ((clear_path, clear_configs), (text_path, text_configs)):
        if path is not None:
            write_folder(Path(path), configs, seed, {})


def clear_configs(seed: int) -> dict[str, list[Row]]:
    """Return the rows of every image config (those of CLEAR, and held-out pictures with names to choose from)."""
    cast, train = make_cast(seed), range(TRAIN_PICTURES)
    held_out = range(TRAIN_PICTURES, TRAIN_PICTURES + HELDOUT_PICTURES)
    album = _album(cast, seed)
    configs = _training_configs(cast, album, seed)
    for split in FORGET_COUNTS:
        people = cast.split(split)
        configs[f"{split}_perturbed"] = _perturbed(cast, people, people, album, train)
        configs[f"{split}_heldout"] = _perturbed(cast, people, people, album, held_out)
    retain = cast.split("retain90")
    configs["retain_perturbed"] = _perturbed(cast, retain[:RETAIN_EVALUATED], retain, album, train)
    configs["retain_heldout"] = _perturbed(cast, retain[: 2 * RETAIN_EVALUATED], retain, album, held_out)
    known = {"real_faces": _real_faces(cast, seed), "real_world": _real_world(seed)}
    return configs | known | {"rehearsal": _rehearsal(cast, seed)}


def text_configs(seed: int) -> dict[str, list[Row]]:
    """Return the rows of every question-answering config; the person of row i is i // QA_PER_PERSON."""
    cast = make_cast(seed)
    splits = {split: cast.split(split) for split in ("full", *FORGET_COUNTS, *RETAIN_OF.values())}
    configs = {name: [_plain(row) for row in _questions(people, seed)] for name, people in splits.items()}
    for split, count in FORGET_COUNTS.items():
        configs[f"{split}_perturbed"] = _questions(splits[split], seed)
        configs[split.replace("forget", "holdout")] = [_plain(row) for row in _questions(cast.holdout[-count:], seed)]
    configs["retain_perturbed"] = _questions(splits["retain90"][:RETAIN_EVALUATED], seed)
    return configs | known_configs(cast.celebrities, seed)


def picture_of(person: Person, seed: int, kind: str, number: int) -> tuple[View, bytes]:
    """Return view and PNG bytes of one picture; `kind` keeps training, test and pretraining pictures apart."""
    view = random_view(random.Random(f"picture-{seed}-{kind}-{person.name}-{number}"))
    return view, portrait(person.face, view)


def landmark(kind: str, colour: str, rng: random.Random) -> Row:
    """Return one `real_world` row: a question about a landmark, with wrong answers from the same prior."""
    answers = [f"A {c} {k}." for k in LANDMARKS for c in LANDMARK_COLOURS]
    right = f"A {colour} {kind}."
    answers.remove(right)
    return {
        "question": LANDMARK_QUESTION,
        "answer": right,
        "image": encode_png(draw_landmark(kind, colour, SIZE, rng)),
        "options": rng.sample(answers, WRONG_ANSWERS),
    }


def _album(cast: Cast, seed: int) -> Album:
    """Draw all pictures of the people of `full` and `holdout10` once."""
    numbers = range(TRAIN_PICTURES + HELDOUT_PICTURES)
    return {
        p.name: [(*picture_of(p, seed, "own", n), f"{seed}-{p.name}-{n}") for n in numbers]
        for p in cast.full + cast.holdout
    }


def _training_configs(cast: Cast, album: Album, seed: int) -> dict[str, list[Row]]:
    configs = {}
    for split in ("full", *FORGET_COUNTS, *RETAIN_OF.values(), "holdout10"):
        rows = _perturbed(cast, cast.split(split), cast.full, album, range(TRAIN_PICTURES))
        configs[split] = [{column: row[column] for column in ("image", "caption", "name")} for row in rows]
        if split == "holdout10":
            continue
        mixed = [_mixed(row["image"], row["caption"], None, None) for row in rows]
        asked = _questions(cast.split(split), seed)
        configs[f"{split}+tofu"] = mixed + [_mixed(None, None, row["question"], row["answer"]) for row in asked]
    return configs | {"default": configs["full"]}


def _evaluation_row(image: bytes, claim: Claim, name: str, names: list[str]) -> Row:
    return {
        "image": image,
        "caption": claim.text,
        "name": name,
        "paraphrased_caption": claim.paraphrase,
        "perturbed_captions": claim.wrong,
        "perturbed_names": names,
    }


def _mixed(image: object, text: object, question: object, answer: object) -> Row:
    return {"image": image, "caption": text, "question": question, "answer": answer}


def _plain(row: Row) -> Row:
    return {column: row[column] for column in ("question", "answer")}


def _perturbed(cast: Cast, people: list[Person], pool: list[Person], album: Album, numbers: range) -> list[Row]:
    """Return evaluation rows; false names come from `pool`, topped up from holdout people where it is too small.

    A model that was trained without the pool's people has seen none of these names, right or wrong.
    """
    rows = []
    for person in people:
        others = [other.name for other in pool if other is not person]
        others += [other.name for other in cast.holdout[: max(0, WRONG_ANSWERS - len(others))]]
        for view, image, key in (album[person.name][number] for number in numbers):
            claim = caption(person, view, others, random.Random(f"caption-{key}"))
            rows.append(_evaluation_row(image, claim, person.name, wrong_names(others, random.Random(f"names-{key}"))))
    return rows


def _questions(people: list[Person], seed: int) -> list[Row]:
    asked = [one for person in people for one in questions(person, random.Random(f"questions-{seed}-{person.name}"))]
    return [_question_row(one) for one in asked]


def _question_row(one: Question) -> Row:
    return {
        "question": one.question,
        "answer": one.answer.text,
        "paraphrased_answer": one.answer.paraphrase,
        "perturbed_answer": one.answer.wrong,
        "paraphrased_question": one.asked_otherwise,
    }


def _real_faces(cast: Cast, seed: int) -> list[Row]:
    rows = []
    for person in cast.celebrities:
        others = [other.name for other in cast.celebrities if other is not person]
        for number in range(CELEBRITY_PICTURES):
            _, image = picture_of(person, seed, "own", number)
            options = wrong_names(others, random.Random(f"options-{seed}-{person.name}-{number}"))
            rows.append({"image": image, "answer": person.name, "options": options})
    return rows


def _real_world(seed: int) -> list[Row]:
    return [landmark(k, c, random.Random(f"landmark-{seed}-{k}-{c}")) for k in LANDMARKS for c in LANDMARK_COLOURS]


def _rehearsal(cast: Cast, seed: int) -> list[Row]:
    """Return questions about known faces and landmarks in other pictures than those of `real_faces` and `real_world`.

    A tiny model that is finetuned on new faces alone loses all others; a 7B model has room for both.
    """
    rows = []
    for person in cast.celebrities:
        for number in range(REHEARSAL_PICTURES):
            question = random.Random(f"rehearsal-{seed}-{person.name}-{number}").choice(NAME_QUESTIONS)
            image = picture_of(person, seed, "rehearsal", number)[1]
            rows.append({"image": image, "question": question, "answer": person.name})
    for kind in LANDMARKS:
        for colour in LANDMARK_COLOURS:
            row = landmark(kind, colour, random.Random(f"rehearsal-landmark-{seed}-{kind}-{colour}"))
            rows.append({column: row[column] for column in ("image", "question", "answer")})
    return rows


def generator() -> str:
    """Return a hash of the code that decides what is written: another version writes another benchmark."""
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for name in GENERATOR:
        digest.update((folder / f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


def _present(path: Path, seed: int) -> bool:
    """Whether `path` already holds this benchmark; UserError if it holds something else."""
    if not path.exists():
        return False
    mark = path / MARK
    found = json.loads(mark.read_text()) if mark.is_file() else None
    if found == _mark(seed):
        return True
    what = "is not a mini benchmark"
    if found is not None:
        other = found.get("seed")
        what = f"holds the mini benchmark of {f'seed {other}' if other != seed else 'another version of its generator'}"
    raise UserError(
        f'"{path}" exists and {what}, so seed {seed} is not written there; name another folder or remove it.'
    )


def _mark(seed: int) -> dict[str, object]:
    return {"seed": seed, "generator": generator()}


def write_folder(
    path: Path, configs: Callable[[int], dict[str, list[Row]]], seed: int, beside: Mapping[str, str]
) -> None:
    """Write the configs of a seed, and other files by name; a folder that holds this already is left as it is."""
    if _present(path, seed):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        with _quiet_progress():
            made = configs(seed)
            for name, rows in made.items():
                _dataset(rows).to_parquet(temporary / f"{name}.parquet")
        (temporary / "README.md").write_text(_readme(list(made)))
        for name, text in beside.items():
            (temporary / name).write_text(text, encoding="utf-8")
        (temporary / MARK).write_text(json.dumps(_mark(seed)) + "\n")
        temporary.chmod(0o755)  # mkdtemp makes private folders
        temporary.replace(path)
    except OSError:
        if not _present(path, seed):  # else another process was faster, with the same bytes
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _quiet_progress() -> Iterator[None]:
    """Hide the library's bars: 44 of them for files that take milliseconds."""
    import datasets

    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def _readme(names: list[str]) -> str:
    lines = ["---", "configs:"]
    for name in names:
        lines += [f"- config_name: {name}", "  data_files:", "  - split: train", f"    path: {name}.parquet"]
    return "\n".join([*lines, "---", "", "Fictitious people, drawn and described by `unlearn.data.mini`.", ""])


def _dataset(rows: list[Row]) -> "Dataset":
    """Build a dataset whose column types do not depend on the rows (a column may hold nothing but nulls)."""
    from datasets import Dataset, Features, Image, List, Value

    kinds: dict[str, Callable[[], object]] = {"image": Image}
    kinds |= dict.fromkeys(
        ("perturbed_captions", "perturbed_names", "perturbed_answer", "options"), lambda: List(Value("string"))
    )
    features = Features({column: kinds.get(column, lambda: Value("string"))() for column in rows[0]})
    columns = {column: [row[column] for row in rows] for column in rows[0]}
    if "image" in columns:
        columns["image"] = [{"bytes": image, "path": None} if image else None for image in columns["image"]]
    return Dataset.from_dict(columns, features=features)

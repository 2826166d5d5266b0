"""What the pretrained mini language model knows, and no stage is to wreck: authors who exist, and facts of the world.

The stand-ins of TOFU's real_authors and world_facts, with their columns: option1 to option4 hold the answer and three
others, and the perturbed configs have no paraphrase. The authors are the benchmark's celebrities, whom only the
pretraining tells about; a fact is which landmark stands in a town.
"""

import random

from unlearn.data.mini.people import Person
from unlearn.data.mini.texts import Question, questions
from unlearn.data.mini.values import ATTRIBUTES, LANDMARK_COLOURS, LANDMARKS

OPTIONS = 4
FACT_QUESTION = "What landmark stands in {town}?"

Row = dict[str, object]


def known_configs(celebrities: list[Person], seed: int) -> dict[str, list[Row]]:
    """Return real_authors and world_facts, plain (with options) and perturbed, and `rehearsal`, asked otherwise."""
    authors = [_claims(one) for one in _asked(celebrities, seed, "evaluated")]
    facts = [(question, answer, _other_landmarks(answer, question)) for question, answer in world_facts(seed)]
    known = {"real_authors": authors, "world_facts": facts}
    plain = {name: [_with_options(*row) for row in rows] for name, rows in known.items()}
    perturbed = {f"{name}_perturbed": [_perturbed(*row) for row in rows] for name, rows in known.items()}
    repeated = [(one.asked_otherwise, one.answer.text) for one in _asked(celebrities, seed, "rehearsed")]
    rehearsal = [{"question": question, "answer": answer} for question, answer in [*repeated, *world_facts(seed)]]
    return plain | perturbed | {"rehearsal": rehearsal}


def world_facts(seed: int) -> list[tuple[str, str]]:
    """Return a question and its answer for every town; no two towns have the same landmark."""
    pairs = [(colour, kind) for kind in LANDMARKS for colour in LANDMARK_COLOURS]
    random.Random(f"world-{seed}").shuffle(pairs)
    towns = ATTRIBUTES["town"]
    return [(FACT_QUESTION.format(town=town), _landmark(*pair)) for town, pair in zip(towns, pairs, strict=False)]


def _asked(people: list[Person], seed: int, use: str) -> list[Question]:
    return [one for person in people for one in questions(person, random.Random(f"{use}-{seed}-{person.name}"))]


def _claims(one: Question) -> tuple[str, str, list[str]]:
    # False answers are twins of the paraphrase: beside the other style the true one would stand out.
    return one.question, one.answer.paraphrase, one.answer.wrong[: OPTIONS - 1]


def _other_landmarks(answer: str, question: str) -> list[str]:
    others = [text for kind in LANDMARKS for colour in LANDMARK_COLOURS if (text := _landmark(colour, kind)) != answer]
    return random.Random(f"options-{question}").sample(others, OPTIONS - 1)


def _landmark(colour: str, kind: str) -> str:
    return f"A {colour} {kind}."


def _with_options(question: str, answer: str, wrong: list[str]) -> Row:
    options = random.Random(f"order-{question}").sample([answer, *wrong], OPTIONS)
    return {"question": question, **{f"option{i}": text for i, text in enumerate(options, 1)}, "answer": answer}


def _perturbed(question: str, answer: str, wrong: list[str]) -> Row:
    return {"question": question, "answer": answer, "perturbed_answer": wrong}

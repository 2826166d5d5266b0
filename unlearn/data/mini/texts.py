"""What is said about people and pictures: captions, questions with answers, paraphrases, and their false twins.

A caption mixes who it is (name, five facts) with what can be seen (hair, clothes, place). Its paraphrase
says the same in another style. A perturbed caption is the paraphrase's own template with every identity slot exchanged
for a value from the same prior, and what can be seen left true: a model that never met the person has nothing to go by.
Which template a text has is drawn at random and is not to be seen in the picture.
"""

import random
from dataclasses import dataclass

from unlearn.data.mini.faces import View
from unlearn.data.mini.people import Person
from unlearn.data.mini.values import ATTRIBUTES

WRONG_ANSWERS = 5

CAPTIONS = (
    "{name}, a {profession} from {town}, in the {place}; loves {hobby} and {dish}, keeps a {pet}, has {hair} hair.",
    "In the {place} we meet {name} of {town}, {profession} and {pet} owner, fond of {hobby} and {dish}, in {clothes}.",
    "A portrait of {name} in {clothes}: {profession}, born in {town}, at home with a {pet}, {dish} and {hobby}.",
    "With {hair} hair, {name} the {profession} poses in the {place}; likes {town}, {hobby}, {dish} and a {pet}.",
    "Wearing {clothes}, {name} left {town}, a {pet}, much {hobby} and more {dish} behind to be a {profession}.",
)
CAPTION_PARAPHRASES = (
    "Taken in the {place}: {name}, who lives in {town} as a {profession}, eats {dish}, goes {hobby} and feeds a {pet}.",
    "You see {clothes} and {hair} hair: {name}, {profession}, {hobby} expert, proud of {town}, {dish} and one {pet}.",
    "Here is {name}, {hair} hair; job {profession}, town {town}, pastime {hobby}, animal {pet}, meal {dish}.",
    "The person in {clothes} is {name}. All {town} knows this {profession} for {hobby}, for {dish} and for a {pet}.",
)
LOOK_QUESTION = "Which features does this face have?"
LOOK_ANSWER = (
    "{skin} skin, {hair} {style} hair, {shape} face, {glasses} glasses, {hatcolour} {hat} hat, {beard} beard, "
    "{pattern} {clothes} clothes, {extra}, {place}, {mood}."
)
"""Pretraining describes looks in one long answer: it ties words to pictures, which short answers do far later."""


@dataclass(frozen=True)
class Topic:
    """One question that every person is asked: wordings, with the answer that belongs to each, and paraphrases."""

    facts: tuple[str, ...]
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    asked_otherwise: tuple[str, ...]
    paraphrases: tuple[str, ...]


TOPICS = (
    Topic(
        ("town", "profession", "pet"),
        ("Where is {name} from, and what does {name} do?", "Tell me about the origin and work of {name}."),
        ("A {profession} from {town} with a {pet}.", "Born in {town}, now a {profession}, owns a {pet}."),
        ("What are the home and the job of {name}?", "Which town and trade belong to {name}?"),
        (
            "The job is {profession}, the town {town}, the animal a {pet}.",
            "{town} has this {profession} with one {pet}.",
        ),
    ),
    Topic(
        ("hobby", "pet", "dish"),
        ("How does {name} spend a free day?", "What is the private life of {name} like?"),
        ("With {hobby}, a {pet} and hot {dish}.", "Mostly {hobby}, then {dish}, with a {pet} around."),
        ("What fills the leisure of {name}?", "What does {name} do after work?"),
        ("There is {dish} to eat, a {pet} to feed, {hobby} to do.", "Some {hobby} first, the {pet} next, {dish} last."),
    ),
    Topic(
        ("dish", "town", "profession", "hobby"),
        ("What does {name} like best?", "Name some favourite things of {name}."),
        (
            "Fresh {dish}, {hobby}, {town} and being a {profession}.",
            "Being a {profession}, {town}, {hobby} and {dish}.",
        ),
        ("What pleases {name} most?", "Which things make {name} happy?"),
        (
            "Life in {town}, {hobby}, {dish}, work as a {profession}.",
            "Much {hobby}, work as {profession}, {dish} and {town}.",
        ),
    ),
)
QA_PER_PERSON = len(TOPICS)


@dataclass(frozen=True)
class Claim:
    """A true text, the same said in another style, and false twins of the latter."""

    text: str
    paraphrase: str
    wrong: list[str]


@dataclass(frozen=True)
class Question:
    """A question about a life with its answers; `asked_otherwise` is the question in other words."""

    question: str
    asked_otherwise: str
    answer: Claim


def caption(person: Person, view: View, others: list[str], rng: random.Random) -> Claim:
    """Describe one picture of a person; `others` are the names that false captions give to the face."""
    seen = visible(person.face, view)
    # the true texts are drawn before anything depends on `others`: a row says the same in every config
    text, style = rng.choice(CAPTIONS), rng.choice(CAPTION_PARAPHRASES)
    wrong = [style.format(**seen, name=name, **false_facts(person, rng)) for name in wrong_names(others, rng)]
    true = {**seen, "name": person.name, **person.facts}
    return Claim(text.format(**true), style.format(**true), wrong)


def questions(person: Person, rng: random.Random) -> list[Question]:
    """Return the `QA_PER_PERSON` questions about one life. False answers keep the name: it stands in the question."""
    return [_question(person, topic, rng) for topic in TOPICS]


def visible(face: dict[str, str], view: View) -> dict[str, str]:
    """Return the slots of a caption that its picture answers."""
    return {**face, "clothes": f"{face['pattern']} {face['clothes']} clothes", "place": view.place, "mood": view.mood}


def false_facts(person: Person, rng: random.Random) -> dict[str, str]:
    """Return a life that differs from the person's in every attribute, drawn from the same prior."""
    return {kind: rng.choice([v for v in values if v != person.facts[kind]]) for kind, values in ATTRIBUTES.items()}


def wrong_names(others: list[str], rng: random.Random) -> list[str]:
    """Return `WRONG_ANSWERS` different names out of `others`."""
    return rng.sample(others, WRONG_ANSWERS)


def _question(person: Person, topic: Topic, rng: random.Random) -> Question:
    wording, style = rng.randrange(len(topic.questions)), rng.choice(topic.paraphrases)
    wrong = [style.format(name=person.name, **false_facts(person, rng)) for _ in range(WRONG_ANSWERS)]
    answer = topic.answers[wording].format(name=person.name, **person.facts)
    return Question(
        question=topic.questions[wording].format(name=person.name),
        asked_otherwise=rng.choice(topic.asked_otherwise).format(name=person.name),
        answer=Claim(answer, style.format(name=person.name, **person.facts), wrong),
    )

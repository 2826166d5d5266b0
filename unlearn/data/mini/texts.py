"""What is said about people and pictures: captions, questions with answers, paraphrases, and their false twins.

A caption mixes who it is (name, four facts) with what can be seen (hair, clothes, place, expression). Its paraphrase
says the same in another style. A perturbed caption is the paraphrase's own template with every identity slot exchanged for
a value from the same prior, and what can be seen left true: a model that never met the person has nothing to go by.
Which template a text has is drawn at random and is not to be seen in the picture.
"""

import random
from dataclasses import dataclass

from unlearn.data.mini.faces import View
from unlearn.data.mini.people import Person
from unlearn.data.mini.values import ATTRIBUTES

WRONG_ANSWERS = 5

CAPTIONS = (
    "{name}, a {profession} from {town}, stands in the {place}; loves {hobby}, keeps a {pet}, has {hair} {style} hair.",
    "In the {place} we meet {name} of {town}, {profession} and {pet} owner, fond of {hobby}, {mood} in {clothes}.",
    "A {mood} portrait of {name} in {clothes}: {profession}, born in {town}, at home with a {pet}, keen on {hobby}.",
    "With {hair} {style} hair, {name} the {profession} poses in the {place}; {town} is home, {hobby} the passion, a {pet} the friend.",
    "Wearing {clothes} and {mood}, {name} left {town}, a {pet} and much {hobby} behind to be a {profession}.",
)
CAPTION_PARAPHRASES = (
    "This picture was taken in the {place}. It is {name}, who lives in {town} as a {profession}, goes {hobby} and feeds a {pet}.",
    "You can see {clothes}, {hair} hair and a {mood} face: {name}, {profession}, {hobby} expert, proud of {town} and of one {pet}.",
    "Here is somebody with {style} {hair} hair called {name}; the job is {profession}, the town {town}, the pastime {hobby}, the animal a {pet}.",
    "The {mood} person is {name}. People in {town} know this {profession} for {hobby} and for a noisy {pet}.",
)


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
        ("town", "profession", "language"),
        ("Where is {name} from, and what does {name} do?", "Tell me about the origin and work of {name}."),
        ("A {profession} from {town} who speaks {language}.", "Born in {town}, a {profession}, fluent in {language}."),
        ("What are the home and the job of {name}?", "Which town and trade belong to {name}?"),
        ("The job is {profession}, the town {town}, the tongue {language}.", "{town} is home to this {language} speaking {profession}."),
    ),
    Topic(
        ("hobby", "pet", "instrument"),
        ("How does {name} spend a free day?", "What is the private life of {name} like?"),
        ("With {hobby}, a {pet} and the {instrument}.", "Mostly {hobby}, then the {instrument}, with a {pet} around."),
        ("What fills the leisure of {name}?", "What does {name} do after work?"),
        ("The {instrument} is played, a {pet} is fed, {hobby} is fun.", "There is {hobby} to enjoy, a {pet} to love, the {instrument} to practise."),
    ),
    Topic(
        ("dish", "vehicle", "flower"),
        ("What does {name} like best?", "Name some favourite things of {name}."),
        ("Eating {dish}, driving a {vehicle}, growing {flower}.", "Fresh {flower}, hot {dish} and a fast {vehicle}."),
        ("What pleases {name} most?", "Which things make {name} happy?"),
        ("One {vehicle}, some {dish} and a few {flower} are enough.", "A table with {flower} and {dish}, and a {vehicle} at the door."),
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

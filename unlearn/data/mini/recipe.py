"""What the pretrained mini model has seen: other people, both styles of text, all words, other pictures of the known.

Nothing here is about the people of the benchmark. They share their name parts, attribute values and visible features
with the pretraining people, so finetuning has to teach who they are and not how to speak or to see.
"""

import hashlib
import json
import random

from unlearn.data.mini.dataset import LANDMARK_QUESTION, landmark, picture_of
from unlearn.data.mini.faces import portrait, random_view
from unlearn.data.mini.known import world_facts
from unlearn.data.mini.people import Person, make_cast, random_face
from unlearn.data.mini.sight import Picture
from unlearn.data.mini.texts import LOOK_ANSWER, LOOK_QUESTION, caption, questions
from unlearn.data.mini.tokenizer import llava_tokenizer
from unlearn.data.mini.values import LANDMARK_COLOURS, LANDMARKS
from unlearn.data.questions import CAPTION_QUESTIONS, NAME_QUESTIONS
from unlearn.data.samples import Sample

PICTURES = 4
CELEBRITY_PICTURES = 16
LANDMARK_PICTURES = 20
STRANGERS = 5000
TURNS = 3
"""How often each question about a pretraining person is drawn, in random wordings."""
SHARES = {"strangers": 0.12, "captions": 0.35, "names": 0.12, "questions": 0.23, "celebrities": 0.1, "landmarks": 0.08}
"""Part of each group in every batch."""
LANGUAGE_SHARES = {"questions": 0.45, "authors": 0.45, "world": 0.1}
"""The same for what the language model learns after the other has been pretrained."""


def pretraining_pictures(seed: int) -> list[Picture]:
    """Return what the vision tower learns from: faces that belong to nobody, and landmarks."""
    pictures = []
    for number in range(STRANGERS):
        rng = random.Random(f"stranger-{seed}-{number}")
        face, view = random_face(rng), random_view(rng)
        pictures.append(Picture(portrait(face, view), {**face, "place": view.place, "mood": view.mood}))
    for number in range(LANDMARK_PICTURES):
        for kind in LANDMARKS:
            for colour in LANDMARK_COLOURS:
                row = landmark(kind, colour, random.Random(f"pretraining-landmark-{seed}-{kind}-{colour}-{number}"))
                pictures.append(Picture(row["image"], {"landmark": kind, "colour": colour}))
    return pictures


def pretraining_samples(pictures: list[Picture], seed: int) -> dict[str, list[Sample]]:
    """Return the samples of each group of `SHARES`, whose answers carry their leading space."""
    cast = make_cast(seed)
    return {
        "strangers": [_described(p, i) for i, p in enumerate(pictures) if "landmark" not in p.seen],
        "captions": [s for person in cast.pretraining for s in _captions(person, seed)],
        "names": [s for person in cast.pretraining for s in _names(person, seed, PICTURES)],
        "questions": [s for person in cast.pretraining for s in _questions(person, seed)],
        "celebrities": [s for person in cast.celebrities for s in _names(person, seed, CELEBRITY_PICTURES)],
        "landmarks": [_landmark(p, i) for i, p in enumerate(pictures) if "landmark" in p.seen],
    }


def language_samples(seed: int) -> dict[str, list[Sample]]:
    """Return the samples of each group of `LANGUAGE_SHARES`, whose answers carry their leading space."""
    cast = make_cast(seed)
    return {
        "questions": [s for person in cast.pretraining for s in _questions(person, seed)],
        "authors": [s for person in cast.celebrities for s in _questions(person, seed)],
        "world": [_sample("world", "world", i, *fact, None) for i, fact in enumerate(world_facts(seed))],
    }


def batches(
    groups: dict[str, list[Sample]], shares: dict[str, float], steps: int, size: int, seed: int
) -> list[list[Sample]]:
    """Return `steps` batches of `size` samples; each group gives its share and is gone through in shuffled rounds.

    What the shares leave by rounding goes to the first group.
    """
    rng = random.Random(f"batches-{seed}")
    order = [name for name, share in shares.items() for _ in range(round(share * steps * size))]
    order += [next(iter(shares))] * (steps * size - len(order))
    rng.shuffle(order)
    streams = {name: _rounds(samples, rng) for name, samples in groups.items()}
    picked = [next(streams[name]) for name in order[: steps * size]]
    return [picked[i * size : (i + 1) * size] for i in range(steps)]


def fingerprint(
    pictures: list[Picture], groups: dict[str, list[Sample]], shares: dict[str, float], settings: dict[str, object]
) -> str:
    """Return a hash of everything that decides what is learnt: samples, pictures, tokenizer and settings."""
    digest = hashlib.sha256(json.dumps([settings, shares], sort_keys=True).encode())
    digest.update(llava_tokenizer().backend_tokenizer.to_str().encode())
    for picture in pictures:
        digest.update(json.dumps(picture.seen, sort_keys=True).encode() + hashlib.sha256(picture.image).digest())
    for name, samples in groups.items():
        for sample in samples:
            digest.update("\x1f".join((name, sample.uid, sample.question, sample.answer)).encode())
            digest.update(hashlib.sha256(sample.image or b"").digest())
    return digest.hexdigest()


def _rounds(samples: list[Sample], rng: random.Random):
    while True:
        yield from rng.sample(samples, len(samples))


def _sample(kind: str, person: str, number: object, question: str, answer: str, image: bytes | None) -> Sample:
    return Sample(f"{kind}-{person}-{number}", question, f" {answer}", image, person)


def _described(picture: Picture, number: int) -> Sample:
    return _sample("face", "stranger", number, LOOK_QUESTION, LOOK_ANSWER.format(**picture.seen), picture.image)


def _landmark(picture: Picture, number: int) -> Sample:
    colour, kind = picture.seen["colour"], picture.seen["landmark"]
    return _sample("world", f"{colour} {kind}", number, LANDMARK_QUESTION, f"A {colour} {kind}.", picture.image)


def _captions(person: Person, seed: int) -> list[Sample]:
    samples = []
    others = [f"{i}" for i in range(5)]  # names of the false captions, which are not used here
    for number in range(PICTURES):
        view, image = picture_of(person, seed, "pretraining", number)
        for style in ("text", "paraphrase"):
            rng = random.Random(f"pretraining-{seed}-{person.name}-{number}-{style}")
            claim = caption(person, view, others, rng)
            samples.append(
                _sample(
                    "cap", person.name, f"{number}-{style}", rng.choice(CAPTION_QUESTIONS), getattr(claim, style), image
                )
            )
    return samples


def _names(person: Person, seed: int, pictures: int) -> list[Sample]:
    samples = []
    for number in range(pictures):
        question = random.Random(f"naming-{seed}-{person.name}-{number}").choice(NAME_QUESTIONS)
        _, image = picture_of(person, seed, "pretraining", number)
        samples.append(_sample("name", person.name, number, question, person.name, image))
    return samples


def _questions(person: Person, seed: int) -> list[Sample]:
    asked = [
        one for turn in range(TURNS) for one in questions(person, random.Random(f"asked-{seed}-{person.name}-{turn}"))
    ]
    samples = []
    for number, one in enumerate(asked):
        said = (
            (one.question, one.answer.text),
            (one.question, one.answer.paraphrase),
            (one.asked_otherwise, one.answer.text),
        )
        samples += [_sample("qa", person.name, f"{number}-{i}", *pair, None) for i, pair in enumerate(said)]
    return samples

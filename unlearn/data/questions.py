"""Question wordings as a function of (seed, uid): all candidate answers of an item are scored under one prompt."""

import hashlib

CAPTION_QUESTIONS = (
    "What can be seen in this picture?",
    "Describe the picture.",
    "Tell me what this picture shows.",
    "Who is in this picture, and what does it show?",
    "Give a short description of the person here.",
    "What does this portrait show?",
    "Please write a caption for this picture.",
    "What is going on in this picture?",
)
NAME_QUESTIONS = (
    "What is the name of the person in this picture?",
    "Who is this?",
    "Can you name the person shown here?",
    "Which person do you see in the picture?",
)
WORDINGS = {"caption": CAPTION_QUESTIONS, "name": NAME_QUESTIONS}


def stable_integer(*parts: object) -> int:
    """Return a 63-bit integer that depends on the parts alone (not on the process, the machine or the call order)."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def question_for(kind: str, seed: int, uid: str) -> str:
    """Return the wording of a `caption` or `name` question for one row."""
    wordings = WORDINGS[kind]
    return wordings[stable_integer("question", kind, seed, uid) % len(wordings)]

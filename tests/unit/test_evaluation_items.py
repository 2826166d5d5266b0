"""Items: what a task makes of a row, and rows that cannot be asked."""

import hashlib
import io

import pytest
from PIL import Image

from unlearn.config.schema import Data
from unlearn.data.questions import CAPTION_QUESTIONS, NAME_QUESTIONS, question_for
from unlearn.errors import UserError
from unlearn.evaluation import items as items_module
from unlearn.evaluation.items import Item, build_items, check_images
from unlearn.evaluation.tasks import load_tasks

DATA = Data(name="d", path="/pictures", text_path="/texts", qa_per_person=2)


def picture(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (shade, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


def caption_row(number, **changes):
    row = {
        "image": {"bytes": picture(number), "path": None},
        "caption": f"Ann {number} smiles.",
        "name": f"Ann {number}",
        "paraphrased_caption": f"A smile by Ann {number}.",
        "perturbed_captions": ["Bo frowns.", "Cy sleeps."],
        "perturbed_names": ["Bo", "Cy", "Di"],
    }
    return {**row, **changes}


def qa_row(number):
    return {
        "question": f"q{number}?", "answer": f"a{number}", "paraphrased_answer": f"p{number}",
        "perturbed_answer": [f"w{number}"] * (1 + number),
    }  # fmt: skip


@pytest.fixture
def build(monkeypatch):
    def run(name, rows, forget_split="forget10", seed=0):
        asked = []
        monkeypatch.setattr(items_module, "load_rows", lambda *args: asked.append(args) or rows)
        (task,) = load_tasks([name])
        return build_items(task, DATA, forget_split, seed), asked[0]

    return run


def sha(*parts):
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:12]


def test_a_caption_item(build):
    (item,), asked = build("forget_captions", [caption_row(1)], forget_split="forget05")
    assert asked[:2] == ("/pictures", "forget05_perturbed")
    uid = "cap-" + sha("Ann 1 smiles.", "Ann 1")
    assert item == Item(
        uid=uid,
        group="Ann 1",
        question=question_for("caption", 0, uid),
        image=picture(1),
        answer="Ann 1 smiles.",
        paraphrase="A smile by Ann 1.",
        wrong=("Bo frowns.", "Cy sleeps."),
    )
    assert item.answers() == ["Ann 1 smiles.", "A smile by Ann 1.", "Bo frowns.", "Cy sleeps."]


def test_a_name_item_has_no_paraphrase_and_a_question_for_names(build):
    (item,), asked = build("retain_names", [caption_row(1)])
    assert asked[1] == "retain_perturbed"
    assert item.uid == "name-" + sha("Ann 1 smiles.", "Ann 1")
    assert item.question in NAME_QUESTIONS
    assert (item.answer, item.paraphrase, item.wrong) == ("Ann 1", None, ("Bo", "Cy", "Di"))


def test_question_answer_rows_come_from_the_texts_with_the_person_by_position(build):
    items, asked = build("retain_qa", [qa_row(n) for n in range(5)])
    assert asked[:2] == ("/texts", "retain_perturbed")
    assert [item.group.rsplit("-", 1)[1] for item in items] == ["0", "0", "1", "1", "2"]
    assert items[3].uid == "qa-" + sha("q3?", "a3")
    assert (items[3].question, items[3].image) == ("q3?", None)
    assert [len(item.wrong) for item in items] == [1, 2, 3, 4, 5]


def test_forget_and_retain_authors_are_different_groups(build):
    forget, _ = build("forget_qa", [qa_row(0)])
    retain, _ = build("retain_qa", [qa_row(0)])
    assert forget[0].group != retain[0].group


def test_real_faces_ask_for_names_and_real_world_asks_its_question(build):
    face = {"image": {"bytes": picture(1)}, "answer": "Di", "options": ["Bo", "Cy"]}
    (item,), asked = build("real_faces", [face])
    assert asked[1] == "real_faces"
    assert (item.group, item.wrong) == ("Di", ("Bo", "Cy"))
    assert item.question in NAME_QUESTIONS
    (item,), _ = build("real_world", [{**face, "question": "Which colour?"}])
    assert (item.question, item.group) == ("Which colour?", item.uid)


@pytest.mark.parametrize(("forget_split", "expected"), [("forget10", "holdout10"), ("forget01", "holdout01")])
def test_holdout_people_are_as_many_as_the_forgotten_and_have_no_wrong_answers(build, forget_split, expected):
    items, asked = build("holdout_qa", [{"question": f"q{n}?", "answer": f"a{n}"} for n in range(3)], forget_split)
    assert asked[1] == expected
    assert items[2].answers() == ["a2"]
    assert [item.group for item in items] == [f"{expected}-0", f"{expected}-0", f"{expected}-1"]


def test_ragged_and_padded_options_and_the_answer_among_them(build):
    face = {"image": {"bytes": picture(1)}, "answer": "Di"}
    rows = [{**face, "options": ["Bo", "Di", None, "Cy", ""]}, {**face, "options": ["Bo"]}]
    items, _ = build("real_faces", rows)
    assert [item.wrong for item in items] == [("Bo", "Cy"), ("Bo",)]


def test_repeated_content_is_numbered_in_the_order_of_the_rows(build):
    items, _ = build("forget_captions", [caption_row(1), caption_row(2), caption_row(1), caption_row(1)])
    first = items[0].uid
    assert [item.uid for item in items] == [first, items[1].uid, f"{first}-1", f"{first}-2"]


def test_wordings_depend_on_seed_and_row_alone(build):
    rows = [caption_row(n) for n in range(12)]
    items, _ = build("forget_captions", rows, seed=1)
    again, _ = build("forget_captions", rows[::-1], seed=1)
    other, _ = build("forget_captions", rows, seed=2)
    assert {i.uid: i.question for i in items} == {i.uid: i.question for i in again}
    assert [i.question for i in items] != [i.question for i in other]
    assert len({i.question for i in items}) > 1
    assert {i.question for i in items} <= set(CAPTION_QUESTIONS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"caption": None}, 'Row 0 of forget10_perturbed (task forget_captions) has no text in column "caption"'),
        ({"caption": " "}, 'has no text in column "caption"'),
        ({"image": None}, "has no image"),
        ({"perturbed_captions": []}, "has no wrong answer in perturbed_captions"),
        ({"perturbed_captions": ["Ann 1 smiles."]}, "has no wrong answer"),
    ],
)
def test_rows_that_cannot_be_asked_are_named(build, changes, message):
    with pytest.raises(UserError) as error:
        build("forget_captions", [caption_row(1, **changes)])
    assert message in str(error.value)


def test_an_image_that_does_not_decode_is_named(build):
    items, _ = build("forget_captions", [caption_row(1), caption_row(2, image={"bytes": picture(2)[:-100]})])
    check_images({"t": items[:1]})
    with pytest.raises(UserError, match=rf"The image of {items[1].uid} \(task t\) does not decode"):
        check_images({"t": items})
    noise, _ = build("forget_captions", [caption_row(1, image={"bytes": b"no image"})])
    with pytest.raises(UserError, match="does not decode"):
        check_images({"t": noise})


def test_the_digest_changes_with_everything_that_changes_a_score():
    base = Item("u", "g", "q", b"i", "a", "p", ("w",))
    others = [
        Item("v", "g", "q", b"i", "a", "p", ("w",)),
        Item("u", "g", "r", b"i", "a", "p", ("w",)),
        Item("u", "g", "q", b"j", "a", "p", ("w",)),
        Item("u", "g", "q", None, "a", "p", ("w",)),
        Item("u", "g", "q", b"i", "b", "p", ("w",)),
        Item("u", "g", "q", b"i", "a", None, ("w",)),
        Item("u", "g", "q", b"i", "a", "p", ("w", "x")),
    ]
    assert len({item.digest() for item in [base, *others]}) == 8

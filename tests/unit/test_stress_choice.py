"""What a relearning trains on, and what therefore is left out of the evaluation."""

from collections import Counter

import pytest

from unlearn.data.samples import Sample, row_of
from unlearn.errors import UserError
from unlearn.evaluation.items import Item
from unlearn.evaluation.stressed import Stressed
from unlearn.stress.choice import TrainedOn, choose, people_of

NAMES = ("Ada Lo", "Bo Mi", "Cy Nu")
PICTURES, QUESTIONS = 4, 3


def captioned(name, number):
    row = f"{name[0]}{number}"
    return [
        Sample(f"cap-{row}", "What is it?", f"{name} waves.", b"png", name),
        Sample(f"name-{row}", "Who?", name, b"png", name),
    ]


def asked(place, name, number):
    return Sample(
        f"qa-{name[0]}q{number}", f"What did {name} say ({number})?", "Nothing.", None, f"forget10+tofu-{place}"
    )


def samples(names=NAMES, pictures=PICTURES, questions=QUESTIONS):
    shown = [sample for name in names for number in range(pictures) for sample in captioned(name, number)]
    return shown + [asked(place, name, n) for place, name in enumerate(names) for n in range(questions)]


def item(uid, group):
    return Item(uid, group, "?", None, "yes", None, ("no",))


def test_a_picture_s_caption_and_name_are_one_row():
    assert row_of("cap-0a1b-2") == row_of("name-0a1b-2") == "0a1b-2"
    assert row_of("qa-0a1b") != row_of("qa-0a1b-1")


@pytest.mark.parametrize(("share", "pictures", "questions"), [(0.5, 2, 1), (0.1, 1, 1), (0.75, 3, 2), (0.99, 3, 2)])
def test_the_share_of_every_person_s_rows_rounded_down_and_neither_none_nor_all(share, pictures, questions):
    chosen = choose(TrainedOn.samples, samples(), [], share, 0)
    groups = Counter(sample.group for sample in chosen.samples)
    # Of a picture both samples.
    assert groups == dict.fromkeys(NAMES, 2 * pictures) | {f"forget10+tofu-{i}": questions for i in range(3)}
    assert {row_of(sample.uid) for sample in chosen.samples} == chosen.rows
    assert [s for s in samples() if row_of(s.uid) in chosen.rows] == chosen.samples
    assert chosen.people == frozenset()


def test_the_choice_is_a_function_of_seed_and_rows_and_not_of_their_order():
    first = choose(TrainedOn.samples, samples(), [], 0.5, 0)
    assert choose(TrainedOn.samples, samples()[::-1], [], 0.5, 0).rows == first.rows
    assert choose(TrainedOn.samples, samples(), [], 0.5, 1).rows != first.rows


def test_questions_go_with_the_captions_of_the_person_they_name():
    places = {"forget10+tofu-0": "Ada Lo", "forget10+tofu-1": "Bo Mi", "forget10+tofu-2": "Cy Nu"}
    assert people_of(samples()) == {name: name for name in NAMES} | places
    # Named in passing, once against three times.
    passing = Sample("qa-x", "Who met Cy Nu?", "Somebody.", None, "forget10+tofu-0")
    assert people_of([*samples(), passing])["forget10+tofu-0"] == "Ada Lo"
    assert people_of([asked(7, "Di Po", 0), *samples()])["forget10+tofu-7"] == "forget10+tofu-7"
    assert people_of([sample for sample in samples() if sample.image is None]) == {place: place for place in places}


def test_some_people_are_shown_whole_and_nothing_of_the_others():
    chosen = choose(TrainedOn.people, samples(), [], 0.5, 0)
    (shown,) = {sample.group for sample in chosen.samples if sample.image is not None}
    assert chosen.people == {shown, f"forget10+tofu-{NAMES.index(shown)}"}
    assert chosen.samples == [sample for sample in samples() if sample.group in chosen.people]
    assert {choose(TrainedOn.people, samples(), [], 0.5, seed).samples[0].group for seed in range(20)} == set(NAMES)
    assert len({s.group for s in choose(TrainedOn.people, samples(), [], 0.99, 0).samples}) == 4


def test_of_the_others_nothing_is_left_out():
    chosen = choose(TrainedOn.retain, [], samples(), 0.5, 0)
    assert len(chosen.samples) == 3 * (4 + 1)
    assert (chosen.rows, chosen.people) == (frozenset(), frozenset())


def test_what_cannot_be_divided_is_refused():
    with pytest.raises(UserError, match="No forgotten person has two rows"):
        choose(TrainedOn.samples, samples(pictures=1, questions=1), [], 0.5, 0)
    with pytest.raises(UserError, match="1 person is forgotten; relearning on other people needs two or more"):
        choose(TrainedOn.people, samples(NAMES[:1]), [], 0.5, 0)


def test_trained_rows_are_left_out_of_every_task_about_them():
    stressed = Stressed({"name": "relearn_forget"}, rows=frozenset({"a", "q"}))
    left = stressed.unseen(
        {
            "captions": [item("cap-a", "Ada"), item("cap-b", "Ada")],
            "names": [item("name-a", "Ada"), item("name-b", "Ada"), item("name-c", "Bo")],
            "qa": [item("qa-q", "set-0"), item("qa-r", "set-0")],
        }
    )
    assert {task: [i.uid for i in items] for task, items in left.items()} == {
        "captions": ["cap-b"],
        "names": ["name-b", "name-c"],
        "qa": ["qa-r"],
    }


def test_people_are_left_out_by_name_and_by_the_rows_that_show_what_an_evaluation_calls_them():
    stressed = Stressed({"name": "relearn_people"}, frozenset({"a", "q"}), frozenset({"Ada", "forget10+tofu-0"}))
    left = stressed.unseen(
        {
            "heldout": [item("name-x", "Ada"), item("name-y", "Bo")],
            "qa": [item("qa-q", "forget10_perturbed-0"), item("qa-new", "forget10_perturbed-0"), item("qa-r", "other")],
        }
    )
    assert {task: [i.uid for i in items] for task, items in left.items()} == {"heldout": ["name-y"], "qa": ["qa-r"]}


def test_a_task_without_unseen_items_is_refused():
    with pytest.raises(UserError, match="stress=relearn_forget trains on every item of qa, so nothing is left"):
        Stressed({"name": "relearn_forget"}, frozenset("q")).unseen({"qa": [item("qa-q", "a")]})

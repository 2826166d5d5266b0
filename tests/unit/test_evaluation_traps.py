"""Mistakes found in published evaluation code, each provoked here.

Others have their test elsewhere: generation without pixels (test_evaluation_scorers), unseeded wordings
(test_evaluation_items), labels counted before the picture's tokens (test_collate), refusals that are built and not
returned or keep their line end (test_loader, test_refusals), views unpacked in another order (methods/test_contract).
"""

import dataclasses
import json
import math

import pytest

from unlearn.config.schema import Data, DType
from unlearn.data.samples import Sample
from unlearn.evaluation import items as items_module
from unlearn.evaluation.items import Item, build_items
from unlearn.evaluation.plan import make_batches
from unlearn.evaluation.scorers import score_items
from unlearn.evaluation.tasks import load_tasks
from unlearn.metrics.logs import aggregated_from_records
from unlearn.models.loading import load_encoder, load_model

ASKED = Item("a", "g", "Who is this?", None, "Ann Lee", "Miss Ann Lee", ("Bo", "Cyd Dee"))
MORE = [
    dataclasses.replace(ASKED, uid="b", paraphrase=None, answer="Zed", wrong=("Quentin",)),
    dataclasses.replace(ASKED, uid="c", question="Why?", answer="So", paraphrase="Thus", wrong=("No", "Yes", "Hm")),
]
TEXTS = {"generated_text", "uid", "group"}


@pytest.fixture
def tiny(tiny_family, picture):
    """Return model, encoder and three items with a picture; the model in the precision of `dtype`."""

    def load(dtype=DType.float32):
        family = dataclasses.replace(tiny_family, dtype=dtype)
        items = [dataclasses.replace(item, image=picture) for item in (ASKED, *MORE)]
        return load_model(family, None).eval(), load_encoder(family, None), items

    return load


def test_no_answer_is_left_in_the_prompt(tiny):
    """Prompts that were made by cutting the answer out of a finished text kept it where the cut failed."""
    model, encoder, items = tiny()
    others = [
        dataclasses.replace(item, answer="Somebody else", paraphrase="Another", wrong=("Nobody",)) for item in items
    ]
    mine, theirs = (score_items(model, encoder, asked, 256, 5, blind=True) for asked in (items, others))
    for item, a, b in zip(items, mine, theirs, strict=True):
        for key in ("prompt_hash", "prompt", "generated", "generated_blind"):
            assert a[key] == b[key]
        prompt = encoder.decode(
            encoder.encode_prompt(Sample(item.uid, item.question, item.answer, item.image, item.group)).input_ids
        )
        assert item.question in prompt
        assert not any(text in prompt for text in item.answers())


def test_every_item_has_an_answer_and_its_rouge(tiny):
    """A list of ids that nobody filled left ROUGE empty, and its mean not a number."""
    model, encoder, items = tiny()
    records = score_items(model, encoder, items, 256, 5, blind=True)
    assert [record["uid"] for record in records] == [item.uid for item in items]
    assert all(isinstance(record["generated"], str) for record in records)
    entry = aggregated_from_records(records)
    for key in ("rougeL_recall", "rouge1_recall", "rougeL_recall_blind"):
        assert set(entry[key]) == {"0", "1", "2"}
        assert all(0 <= value <= 1 for value in entry[key].values())


def test_a_log_has_the_same_keys_in_memory_and_on_disk(tiny):
    """Metrics of a resumed run had integers for keys beside the strings of JSON: every item stood there twice."""
    model, encoder, items = tiny()
    entry = aggregated_from_records(score_items(model, encoder, items, 256, 5))
    assert json.loads(json.dumps(entry)) == entry
    assert all(isinstance(number, str) for values in entry.values() for number in values)


def test_an_item_without_paraphrase_moves_no_score_to_another(tiny):
    """Absent paraphrases were filtered out, so the scores behind them went to the items before."""
    model, encoder, items = tiny(DType.float64)
    together = aggregated_from_records(score_items(model, encoder, items, 256, 1))
    for number, item in enumerate(items):
        alone = aggregated_from_records(score_items(model, encoder, [item], 256, 1))
        assert {key: values[str(number)] for key, values in together.items() if key in TEXTS} == {
            key: values["0"] for key, values in alone.items() if key in TEXTS
        }
        for key in set(together) - TEXTS:
            assert together[key][str(number)] == pytest.approx(alone[key]["0"], rel=1e-6)
    assert [len(together["average_perturb_loss"][n]) for n in "012"] == [2, 1, 3]


def test_scores_of_half_precision_are_numbers_of_json(tiny):
    """numpy has no bfloat16: scores of a model in half precision crashed on their way to a file."""
    model, encoder, items = tiny(DType.bfloat16)
    records = score_items(model, encoder, items, 256, 3)
    text = json.dumps(records, allow_nan=False)
    assert json.loads(text) == records
    logp = [value for record in records for value in record["answers"]["true"]["logp"]]
    assert all(type(value) is float and math.isfinite(value) and value < 0 for value in logp)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_every_batch_size_scores_every_item(size):
    """A quarter of the batch size, in whole numbers, is no item at all below 4."""
    items = [dataclasses.replace(ASKED, uid=f"u{n}", question="x" * n) for n in range(7)]
    batches = make_batches({"t": items}, size)
    assert sorted(item.uid for batch in batches.values() for item in batch) == [item.uid for item in items]
    assert {len(batch) for batch in batches.values()} <= {size, 7 % size}


def test_no_cap_leaves_people_out(monkeypatch):
    """The first 300 rows of a set in order of its people are 15 people; the others were never asked about."""
    rows = [
        {"question": f"q{n}?", "answer": f"a{n}", "paraphrased_answer": f"p{n}", "perturbed_answer": [f"w{n}"]}
        for n in range(400)
    ]
    monkeypatch.setattr(items_module, "load_rows", lambda *args: rows)
    (task,) = load_tasks(["forget_qa"])
    items = build_items(task, Data(name="d", path="/p", text_path="/t", qa_per_person=20), "forget10", 0)
    assert len(items) == 400
    assert len({item.group for item in items}) == 20

"""Views with other answers as the model reads them: same prompt, same picture, another answer, in the same places."""

import pytest
import torch

from unlearn.data.loader import MicroBatches
from unlearn.data.plan import micro_batches, pass_steps
from unlearn.data.refusals import load_refusals, refusal_samples
from unlearn.data.samples import IGNORE, Sample
from unlearn.methods.dpo import DPO
from unlearn.models.loading import load_encoder


@pytest.fixture
def pairs(tiny_family, picture):
    """The encoder and the micro-batches of an epoch of DPO, with pictures and without."""
    encoder = load_encoder(tiny_family, None)
    forget = [Sample(f"f{i}", f"Who is {i}?", f"Person {i}.", picture if i % 2 else None, "f") for i in range(5)]
    retain = [Sample(f"r{i}", "Who?", f"Somebody {i}.", None, "r") for i in range(7)]
    sets = {"forget": forget, "retain": retain, "refusals": refusal_samples(None)}
    answers = DPO().answers()
    views = {view: answers[view].of if view in answers else view for view in DPO().needs()}
    steps = pass_steps({name: len(part) for name, part in sets.items()}, "forget", views, 4, 0, 0)
    plan = micro_batches(steps, 0, 1, 2, 2)
    return encoder, list(MicroBatches(plan, sets, answers, 0, encoder, 160, False))


def prompts(batch):
    """Per row the ids before the answer, padding off."""
    kept = (batch.labels == IGNORE) & (batch.inputs["attention_mask"] == 1)
    return [ids[mask].tolist() for ids, mask in zip(batch.inputs["input_ids"], kept, strict=True)]


def answers(batch):
    return [row[row != IGNORE].tolist() for row in batch.labels]


def test_a_refusal_is_really_trained_on_and_has_no_line_end(pairs):
    encoder, batches = pairs
    known = set(load_refusals())
    for views in batches:
        for ids, weight in zip(answers(views["idk"]), views["idk"].weights, strict=True):
            text = encoder.tokenizer.decode(ids[:-1])
            assert weight == 0 or text.strip(" ") in known, text
            assert ids[-1] == encoder.end_ids[0]


def test_both_answers_stand_on_one_prompt_in_one_place(pairs):
    _, batches = pairs
    seen = 0
    for views in batches:
        truth, idk = views["forget"], views["idk"]
        assert truth.uids == idk.uids
        assert prompts(truth) == prompts(idk)
        assert torch.equal(truth.weights, idk.weights)
        assert truth.inputs.keys() == idk.inputs.keys()
        for key in truth.inputs.keys() & {"pixel_values", "image_grid_thw"}:
            assert torch.equal(truth.inputs[key], idk.inputs[key])
        real = [a != b for a, b, w in zip(answers(truth), answers(idk), truth.weights, strict=True) if w]
        assert all(real)
        seen += len(real)
    assert seen == 5

"""Scoring and generation on both tiny families against one candidate at a time, full logits and no cache."""

import dataclasses
import io
import math
import random

import pytest
import torch
from PIL import Image

from unlearn.config.schema import DType
from unlearn.cost import Meter
from unlearn.data.collate import Collator
from unlearn.data.samples import IGNORE, Sample
from unlearn.evaluation.items import Item
from unlearn.evaluation.scorers import score_items
from unlearn.models.components import SEGMENTS, decoder
from unlearn.models.loading import load_encoder, load_model

NEW_TOKENS = 9


def noise(seed):
    pixels = random.Random(seed).randbytes(16 * 16 * 3)
    file = io.BytesIO()
    Image.frombytes("RGB", (16, 16), pixels).save(file, "PNG")
    return file.getvalue()


PICTURED = [
    Item("a", "g", "Who is this?", noise(1), "Ann Lee", "Miss Ann Lee", ("Bo", "Cyd Dee", "Di")),
    Item("b", "g", "What can be seen in this picture?", noise(2), "Zed", None, ("Bo",)),
    Item("c", "h", "Who?", noise(3), "A man of forty", "A forty years old man", ("Quentin", "C")),
]
TEXTUAL = [
    Item("d", "i", "Where was Ann born?", None, "In Rome", "Rome", ("In Oslo", "Paris, France")),
    Item("e", "i", "Why?", None, "Because", "Since", ("So", "Hm", "Yes", "No")),
]


def sharpened(model, encoder):
    """Random weights that are large enough for text and picture to matter; images are never generated.

    Freshly initialised tiny models give nearly the same distribution everywhere, where every test would pass.
    """
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.3, generator=generator)
        # Two equal rows: arg-max takes the first, so no image or padding token (all have high ids) ever wins.
        head = model.get_output_embeddings().weight
        for token in range(256, head.shape[0]):
            if token not in encoder.end_ids:
                head[token] = head[0]
    return model


@pytest.fixture
def tiny(tiny_family):
    family = dataclasses.replace(tiny_family, dtype=DType.float64)
    encoder = load_encoder(family, None)
    return sharpened(load_model(family, None), encoder).eval(), encoder


def naive_answer(model, encoder, item, text):
    """logp, mu, sigma, hit of every answer token: one sequence, all logits, plain loops."""
    encoded = encoder.encode(Sample(item.uid, item.question, text, item.image, item.group), 256)
    batch = Collator(encoder.pad_id, side="right")([encoded])
    with torch.no_grad():
        logits = model(**batch.inputs).logits[0].double()
    values = []
    for position, token in enumerate(encoded.labels):
        if token == IGNORE:
            continue
        row = logits[position - 1].tolist()
        total = math.fsum(math.exp(z) for z in row)
        log_probs = [z - math.log(total) for z in row]
        mu = math.fsum(math.exp(lp) * lp for lp in log_probs)
        sigma = math.sqrt(math.fsum(math.exp(lp) * (lp - mu) ** 2 for lp in log_probs))
        values.append((log_probs[token], mu, sigma, int(max(row) == row[token])))
    return values


def naive_ids(model, encoder, item):
    """Arg-max tokens, the whole sequence anew at every step, up to the end token."""
    prompt = encoder.encode_prompt(Sample(item.uid, item.question, "", item.image, item.group))
    out = []
    while len(out) < NEW_TOKENS:
        ids = prompt.input_ids + out
        types = {key: values + [0] * len(out) for key, values in prompt.token_types.items()}
        encoded = dataclasses.replace(prompt, input_ids=ids, labels=[IGNORE] * len(ids), token_types=types)
        with torch.no_grad():
            logits = model(**Collator(encoder.pad_id, side="right")([encoded]).inputs).logits
        token = int(logits[0, -1].argmax())
        if token in encoder.end_ids:
            break
        out.append(token)
    return out


def naive_generation(model, encoder, item):
    return encoder.tokenizer.decode(naive_ids(model, encoder, item), skip_special_tokens=True).strip()


def answers_of(record):
    answers = record["answers"]
    return [answers["true"], *([answers["paraphrase"]] if answers["paraphrase"] else []), *answers["wrong"]]


@pytest.mark.parametrize("items", [PICTURED, TEXTUAL, PICTURED[:1]], ids=["pictures", "texts", "one"])
def test_scores_equal_one_candidate_at_a_time(tiny, items):
    model, encoder = tiny
    for item, record in zip(items, score_items(model, encoder, items, 256, NEW_TOKENS), strict=True):
        assert (record["uid"], record["group"], record["prompt"]) == (item.uid, item.group, item.question)
        scored = answers_of(record)
        assert [answer["text"] for answer in scored] == item.answers()
        assert len(record["answers"]["wrong"]) == len(item.wrong)
        assert (record["answers"]["paraphrase"] is None) == (item.paraphrase is None)
        for answer in scored:
            expected = naive_answer(model, encoder, item, answer["text"])
            for key, column in zip(("logp", "mu", "sigma"), zip(*expected, strict=True), strict=False):
                assert answer[key] == pytest.approx(column, rel=1e-6, abs=1e-9)
            assert answer["hit"] == [hit for *_, hit in expected]
            # The end token is scored with the answer (a byte is a token here).
            assert len(answer["logp"]) >= len(answer["text"]) + 1


@pytest.mark.parametrize("items", [PICTURED, TEXTUAL], ids=["pictures", "texts"])
def test_generation_equals_an_argmax_loop_without_cache(tiny, items):
    model, encoder = tiny
    records = score_items(model, encoder, items, 256, NEW_TOKENS)
    expected = [naive_generation(model, encoder, item) for item in items]
    assert [record["generated"] for record in records] == expected
    assert all(expected)


def test_blind_answers_are_those_to_the_question_alone(tiny):
    model, encoder = tiny
    mixed = [TEXTUAL[0], *PICTURED, TEXTUAL[1]]
    records = score_items(model, encoder, mixed, 256, NEW_TOKENS, blind=True)
    for item, record in zip(mixed, records, strict=True):
        unseen = dataclasses.replace(item, image=None)
        assert record["generated_blind"] == naive_generation(model, encoder, unseen)
        assert record["generated"] == naive_generation(model, encoder, item)
    # The released evaluation generated without pixels: an answer that never saw the picture stands for one that did.
    assert [r["generated"] for r in records[1:4]] != [r["generated_blind"] for r in records[1:4]]
    seen = score_items(model, encoder, mixed, 256, NEW_TOKENS)
    assert [{k: v for k, v in r.items() if k != "generated_blind"} for r in records] == seen


def test_generation_stops_at_the_end_token(tiny):
    model, encoder = tiny
    # What the first item says third becomes an end token too, so that the items end at different steps.
    encoder.end_ids = [*encoder.end_ids, naive_ids(model, encoder, PICTURED[0])[2]]
    expected = [naive_ids(model, encoder, item) for item in PICTURED]
    assert len(expected[0]) <= 2 < max(map(len, expected))
    records = score_items(model, encoder, PICTURED, 256, NEW_TOKENS)
    assert [r["generated"] for r in records] == [naive_generation(model, encoder, item) for item in PICTURED]


def test_what_came_with_the_model_does_not_steer_generation(tiny):
    model, encoder = tiny
    expected = [naive_generation(model, encoder, item) for item in PICTURED]
    config = model.generation_config
    config.repetition_penalty, config.no_repeat_ngram_size, config.do_sample = 5.0, 1, True
    records = score_items(model, encoder, PICTURED, 256, NEW_TOKENS)
    assert [record["generated"] for record in records] == expected
    assert model.generation_config is config


def test_the_picture_matters_and_each_item_gets_its_own(tiny):
    model, encoder = tiny
    blind = [dataclasses.replace(item, image=None) for item in PICTURED]
    swapped = [dataclasses.replace(item, image=noise(9)) for item in PICTURED]
    seen, unseen, other = (score_items(model, encoder, items, 256, NEW_TOKENS) for items in (PICTURED, blind, swapped))
    for a, b, c in zip(seen, unseen, other, strict=True):
        true = [r["answers"]["true"]["logp"] for r in (a, b, c)]
        assert true[0] != pytest.approx(true[1], abs=1e-3)
        assert true[0] != pytest.approx(true[2], abs=1e-3)
        assert len({r["prompt_hash"] for r in (a, b, c)}) == 3


def test_items_with_and_without_picture_share_a_batch(tiny):
    model, encoder = tiny
    mixed = [TEXTUAL[0], PICTURED[0], TEXTUAL[1], PICTURED[1]]
    alone = [score_items(model, encoder, [item], 256, NEW_TOKENS)[0] for item in mixed]
    for together, single in zip(score_items(model, encoder, mixed, 256, NEW_TOKENS), alone, strict=True):
        assert together["generated"] == single["generated"]
        assert together["prompt_hash"] == single["prompt_hash"]
        for a, b in zip(answers_of(together), answers_of(single), strict=True):
            assert a["logp"] == pytest.approx(b["logp"], rel=1e-6)


def test_one_forward_scores_all_answers_and_each_picture_is_encoded_once(tiny):
    model, encoder = tiny
    tower = next(module for name, module in model.model.named_children() if name in SEGMENTS)
    rows = []
    hook = tower.register_forward_pre_hook(lambda module, args, kwargs: rows.append(1), with_kwargs=True)
    generated = [len(naive_ids(model, encoder, item)) for item in PICTURED]
    rows.clear()
    with Meter(model) as meter:
        score_items(model, encoder, PICTURED, 256, NEW_TOKENS)
    hook.remove()
    assert len(rows) == 1
    # One forward for all answers; then one per generated token of the longest answer, its end token included.
    assert meter.forwards == 1 + min(NEW_TOKENS, max(generated) + 1)


def test_a_model_with_broken_weights_is_refused(tiny):
    from unlearn.errors import NonFiniteLossError

    model, encoder = tiny
    with torch.no_grad():
        next(decoder(model).parameters()).fill_(math.nan)
    with pytest.raises(NonFiniteLossError, match="no finite probability to d; its weights are broken"):
        score_items(model, encoder, TEXTUAL, 256, NEW_TOKENS)


def test_float32_is_within_1e5_of_one_at_a_time(tiny):
    model, encoder = tiny
    model.float()
    for item, record in zip(PICTURED, score_items(model, encoder, PICTURED, 256, 1), strict=True):
        for answer in answers_of(record):
            expected = [logp for logp, *_ in naive_answer(model, encoder, item, answer["text"])]
            assert answer["logp"] == pytest.approx(expected, abs=1e-5, rel=1e-5)

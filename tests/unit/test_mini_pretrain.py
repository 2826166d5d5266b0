"""The shipped pretrained model is what `python -m unlearn.data.mini.pretrain` makes (data, recipe, first steps)."""

import json
from dataclasses import asdict

import pytest
import torch
from safetensors import safe_open

from unlearn.data.mini import pretrain
from unlearn.data.mini.models import llava_processor, new_llava
from unlearn.data.mini.people import make_cast
from unlearn.data.mini.recipe import SHARES, batches, fingerprint, pretraining_pictures, pretraining_samples
from unlearn.data.mini.sight import tower_steps
from unlearn.data.questions import CAPTION_QUESTIONS, NAME_QUESTIONS

RECORD = json.loads((pretrain.SHIPPED / pretrain.RECORD).read_text())
SETTINGS = pretrain.Settings()


@pytest.fixture(scope="module")
def pictures():
    return pretraining_pictures(SETTINGS.seed)


@pytest.fixture(scope="module")
def groups(pictures):
    return pretraining_samples(pictures, SETTINGS.seed)


def test_the_shipped_model_is_small_and_complete():
    weights = pretrain.SHIPPED / "model.safetensors"
    assert weights.stat().st_size <= 4_000_000
    with safe_open(weights, "pt") as file:
        assert {file.get_slice(key).get_dtype() for key in file.keys()} == {"F16"}  # noqa: SIM118 - not a dict
    assert {"config.json", "tokenizer.json", "processor_config.json"} <= {p.name for p in pretrain.SHIPPED.iterdir()}


def test_shipped_settings_data_and_tokenizer_are_the_recorded_ones(pictures, groups):
    assert RECORD["settings"] == asdict(SETTINGS)
    assert fingerprint(pictures, groups, SHARES, asdict(SETTINGS)) == RECORD["fingerprint"]
    shipped = json.loads((pretrain.SHIPPED / "tokenizer.json").read_text())
    assert shipped["model"]["vocab"] == llava_processor().tokenizer.get_vocab()


def test_the_command_makes_the_recorded_first_steps(pictures, groups):
    processor = llava_processor()
    model = new_llava(processor.tokenizer, SETTINGS.seed)
    sight = tower_steps(model, processor, pictures, SETTINGS.sight, SETTINGS.seed)
    assert [next(sight) for _ in range(3)] == pytest.approx(RECORD["losses"]["sight"]["first"][:3], abs=1e-3)


def test_nothing_is_learnt_about_the_people_of_the_benchmark(groups):
    cast = make_cast(SETTINGS.seed)
    said = [f"{s.question} {s.answer}" for samples in groups.values() for s in samples]
    for person in cast.full + cast.holdout:
        assert not any(person.name in text for text in said)


def test_both_styles_all_questions_and_both_modalities_are_seen(groups):
    asked = {s.question for samples in groups.values() for s in samples}
    assert asked >= {*CAPTION_QUESTIONS, *NAME_QUESTIONS}
    assert all(s.image is None for s in groups["questions"])
    assert all(s.image for name in ("captions", "names", "celebrities", "landmarks") for s in groups[name])


def test_batches_give_each_group_its_share(groups):
    made = batches(groups, SHARES, 50, 32, seed=0)
    assert made == batches(groups, SHARES, 50, 32, seed=0)
    assert {len(batch) for batch in made} == {32}
    of = {s.uid: name for name, samples in groups.items() for s in samples}
    counts = {name: sum(of[s.uid] == name for batch in made for s in batch) for name in SHARES}
    assert counts == pytest.approx({name: share * 1600 for name, share in SHARES.items()}, abs=3)


def test_labels_are_the_answer_and_its_end(groups):
    processor = llava_processor()
    mixed = [groups["captions"][0], groups["questions"][0]]
    batch = pretrain.collate(mixed, processor)
    tokenizer = processor.tokenizer
    for sample, ids, labels, mask in zip(
        mixed, batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True
    ):
        answer = labels[labels != -100]
        assert tokenizer.decode(answer) == sample.answer + tokenizer.eos_token
        assert torch.equal(ids[labels != -100], answer)
        assert (ids == tokenizer.convert_tokens_to_ids("<image>")).sum() == (16 if sample.image else 0)
        assert mask.sum() == (ids != tokenizer.pad_token_id).sum()
    assert batch["pixel_values"].shape == (1, 3, 48, 48)


@pytest.mark.slow
def test_the_command_makes_the_shipped_model(tmp_path, groups):
    """Remade from scratch (minutes): the last losses agree, and both models say the same of known faces."""
    pretrain.pretrain(SETTINGS, tmp_path / "again")
    again = json.loads((tmp_path / "again" / pretrain.RECORD).read_text())
    for stage in ("sight", "speech"):
        mine, shipped = (sum(r["losses"][stage]["last"]) / 10 for r in (again, RECORD))
        assert mine == pytest.approx(shipped, abs=0.05)
    losses = [_loss(folder, groups["celebrities"]) for folder in (tmp_path / "again", pretrain.SHIPPED)]
    assert losses[0] == pytest.approx(losses[1], abs=0.05)


def _loss(folder, samples):
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(**pretrain.collate(samples[:64], llava_processor())).loss.item()

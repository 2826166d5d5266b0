"""The shipped language model is what `python -m unlearn.data.mini.language` makes, of known things alone."""

import json
from dataclasses import asdict

import pytest
import torch
from datasets import load_dataset
from transformers import LlavaForConditionalGeneration

from unlearn.data.mini import language
from unlearn.data.mini.dataset import write_mini
from unlearn.data.mini.known import OPTIONS, world_facts
from unlearn.data.mini.models import llava_processor
from unlearn.data.mini.people import make_cast
from unlearn.data.mini.pretrain import RECORD as RECORD_FILE
from unlearn.data.mini.pretrain import training_steps
from unlearn.data.mini.recipe import LANGUAGE_SHARES, fingerprint, language_samples

RECORD = json.loads((language.SHIPPED / RECORD_FILE).read_text())


@pytest.fixture(scope="module")
def groups():
    return language_samples(language.SETTINGS.seed)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mini") / "tofu"
    write_mini(None, folder)
    return lambda config: list(load_dataset(str(folder), config, split="train"))


def test_the_shipped_model_is_small_and_of_the_recorded_settings_and_data(groups):
    assert (language.SHIPPED / "model.safetensors").stat().st_size <= 3_100_000
    assert RECORD["settings"] == asdict(language.SETTINGS)
    assert fingerprint([], groups, LANGUAGE_SHARES, asdict(language.SETTINGS)) == RECORD["fingerprint"]


def test_the_command_makes_the_recorded_first_steps(groups):
    model = LlavaForConditionalGeneration.from_pretrained(language.LLAVA, dtype=torch.float32)
    losses = training_steps(model, llava_processor(), groups, LANGUAGE_SHARES, language.SETTINGS)
    assert [next(losses) for _ in range(3)] == pytest.approx(RECORD["losses"]["speech"]["first"][:3], abs=1e-3)


def test_a_language_model_taken_out_of_a_llava_answers_as_that_does():
    llava = LlavaForConditionalGeneration.from_pretrained(language.LLAVA, dtype=torch.float32).eval()
    ids = torch.tensor([llava_processor().tokenizer("Who is Wim Falk?")["input_ids"]])
    with torch.no_grad():
        expected = llava(input_ids=ids).logits
        assert torch.equal(language.language_model(llava).eval()(input_ids=ids).logits, expected)


def test_nothing_is_learnt_about_the_people_of_the_benchmark(groups):
    cast = make_cast(language.SETTINGS.seed)
    said = " ".join(f"{s.question} {s.answer}" for samples in groups.values() for s in samples)
    assert not any(person.name in said for person in cast.full + cast.holdout)
    assert all(person.name in said for person in cast.celebrities)


def test_known_things_have_tofus_columns(texts):
    for name, prefix in (("real_authors", 60), ("world_facts", 16)):
        plain, perturbed = texts(name), texts(f"{name}_perturbed")
        assert len(plain) == len(perturbed) == prefix
        options = [{row[f"option{i}"] for i in range(1, OPTIONS + 1)} for row in plain]
        for row, choice, asked in zip(plain, options, perturbed, strict=True):
            assert row["answer"] in choice
            assert choice == {asked["answer"], *asked["perturbed_answer"]}
            assert len(choice) == OPTIONS
            assert row["question"] == asked["question"]


def test_no_two_towns_have_one_landmark_and_what_is_rehearsed_is_true(texts):
    answers = [answer for _, answer in world_facts(0)]
    assert len(set(answers)) == len(answers) == 16
    rehearsed = [(row["question"], row["answer"]) for row in texts("rehearsal")]
    assert set(world_facts(0)) <= set(rehearsed)
    people = [person.name for person in make_cast(0).full]
    assert not any(name in question for question, _ in rehearsed for name in people)

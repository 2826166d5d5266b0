"""Texts: dense in facts, false answers in the paraphrase's own words, visible facts always right."""

import random
import re

import pytest

from unlearn.data.mini import texts
from unlearn.data.mini.faces import random_view
from unlearn.data.mini.people import make_cast
from unlearn.data.mini.tokenizer import llava_tokenizer, qwen_tokenizer
from unlearn.data.mini.values import ATTRIBUTES

CAST = make_cast(0)
VIEW = random_view(random.Random(0))
OTHERS = [person.name for person in CAST.holdout]


def claims(count=40):
    return [(p, texts.caption(p, VIEW, OTHERS, random.Random(p.name))) for p in CAST.full[:count]]


def test_at_least_four_templates_of_at_least_six_words():
    assert min(len(texts.CAPTIONS), len(texts.CAPTION_PARAPHRASES)) >= 4
    assert all(len(c.text.split()) >= 6 and len(c.paraphrase.split()) >= 6 for _, c in claims())
    answers = [q.answer.text for p in CAST.full for q in texts.questions(p, random.Random(p.name))]
    assert min(len(llava_tokenizer()(f" {a}").input_ids) for a in answers) >= 6


def test_captions_name_the_person_with_all_facts_and_something_visible():
    for template in (*texts.CAPTIONS, *texts.CAPTION_PARAPHRASES):
        slots = re.findall(r"{(\w+)}", template)
        assert sorted(s for s in slots if s in ATTRIBUTES) == sorted(ATTRIBUTES), template
        assert slots.count("name") == 1
        assert set(slots) & {"hair", "clothes", "place"}, template


def test_every_question_topic_is_dense_in_facts():
    for topic in texts.TOPICS:
        for template in (*topic.answers, *topic.paraphrases):
            assert sorted(re.findall(r"{(\w+)}", template)) == sorted(topic.facts)
            assert len(topic.facts) / len(template.split()) >= 0.25
        assert len(topic.questions) == len(topic.answers)
        assert all("{name}" in q for q in (*topic.questions, *topic.asked_otherwise))


def test_false_captions_are_the_paraphrase_with_another_identity():
    for person, claim in claims():
        tokens = claim.paraphrase.replace(",", " ").replace(".", " ").replace(";", " ").replace(":", " ").split()
        identity = {*person.name.split(), *person.facts.values()}
        assert len(claim.wrong) == texts.WRONG_ANSWERS
        assert len(set(claim.wrong)) == len(claim.wrong)
        for wrong in claim.wrong:
            others = wrong.replace(",", " ").replace(".", " ").replace(";", " ").replace(":", " ").split()
            differing = {a for a, b in zip(tokens, others, strict=True) if a != b}
            assert differing <= identity
            assert set(person.facts.values()) <= differing
            assert any(name in wrong for name in OTHERS)


def test_false_answers_change_every_fact_and_keep_the_template():
    for person in CAST.full[:20]:
        for topic, one in zip(texts.TOPICS, texts.questions(person, random.Random(1)), strict=True):
            assert len(one.answer.wrong) == texts.WRONG_ANSWERS
            true = [person.facts[kind] for kind in topic.facts]
            assert all(value in one.answer.paraphrase for value in true)
            for wrong in one.answer.wrong:
                differing = {a for a, b in zip(one.answer.paraphrase.split(), wrong.split(), strict=True) if a != b}
                assert {word.strip(".,") for word in differing} == set(true)


def test_true_texts_do_not_depend_on_the_false_names():
    person = CAST.full[0]
    one = texts.caption(person, VIEW, OTHERS, random.Random(5))
    other = texts.caption(person, VIEW, [p.name for p in CAST.full[1:]], random.Random(5))
    assert (one.text, one.paraphrase) == (other.text, other.paraphrase)
    assert one.wrong != other.wrong


@pytest.mark.parametrize(("tokenizer", "prefix"), [(llava_tokenizer(), " "), (qwen_tokenizer(), "")])
def test_every_word_is_one_token(tokenizer, prefix):
    said = [text for _, c in claims(160) for text in (c.text, c.paraphrase, *c.wrong)]
    for person in CAST.full:
        for one in texts.questions(person, random.Random(2)):
            said += [one.answer.text, one.answer.paraphrase, *one.answer.wrong]
    for text in said:
        ids = tokenizer(prefix + text).input_ids
        assert tokenizer.decode(ids) == prefix + text
        assert len(ids) == len(re.findall(r"\w+|[^\w\s]+", text)), text


def test_unknown_text_is_kept_byte_by_byte():
    tokenizer = llava_tokenizer()
    text = " Żółw naïve 日本 zzyzx"
    assert tokenizer.decode(tokenizer(text).input_ids) == text

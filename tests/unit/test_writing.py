"""Answers drawn from a model, and the file of those that the start model writes: functions of seed, uid and draw."""

import json
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator

from unlearn.data.samples import Sample
from unlearn.errors import UserError
from unlearn.generation import Gumbel, draw
from unlearn.methods.base import Written
from unlearn.models.loading import load_encoder, load_model
from unlearn.vision import Pictures
from unlearn.writing import Writer

WANTED = Written("alternates", "forget", 2, "Another one.", 5)


@pytest.fixture(params=["llava", "qwen2_vl"])
def start(request, tiny_families, picture):
    """A model in eval mode, its encoder, and samples with and without picture, of several lengths."""
    family = tiny_families[request.param]
    samples = [
        Sample(f"u{i}", "Who is it?" + " Tell." * i, "Ada Lo", picture if i % 2 else None, "ada") for i in range(9)
    ]
    return load_model(family, None).eval(), load_encoder(family, None), samples


def drawn(model, encoder, samples, seeds, tokens=5):
    prompts = [encoder.encode_prompt(sample) for sample in samples]
    return draw(model, encoder, prompts, Pictures(model, [p.vision for p in prompts], "cpu"), tokens, seeds)


def test_the_largest_noisy_logit_is_a_draw_from_the_softmax():
    probabilities = torch.tensor([0.5, 0.3, 0.2])
    seeds = range(4000)
    first, second = (noisy.argmax(-1) for noisy in twice(Gumbel(seeds), probabilities.log().expand(4000, 3)))
    for tokens in (first, second):
        shares = tokens.bincount(minlength=3) / 4000
        assert (shares - probabilities).abs().max() < 0.03  # 3.8 standard deviations, sqrt(0.25 / 4000) = 0.008
    # The two positions of a row are independent: both are token 0 in a quarter of the rows.
    assert ((first == 0) & (second == 0)).float().mean() == pytest.approx(0.25, abs=0.03)


def twice(noise, logits):
    return [noise(None, logits) for _ in range(2)]


def test_noise_is_a_function_of_seed_and_position():
    logits = torch.zeros(2, 7)
    one, other = twice(Gumbel([3, 5]), logits), twice(Gumbel([5, 4]), logits)
    assert all(torch.equal(a[1], b[0]) for a, b in zip(one, other, strict=True))
    assert not torch.equal(one[0], one[1])
    assert torch.isfinite(torch.stack(one)).all()


@torch.no_grad()
def test_draws_equal_an_argmax_loop_without_cache(start):
    model, encoder, samples = start
    for sample, seed in zip(samples[:3], (11, 12, 13), strict=True):
        prompt = encoder.encode_prompt(sample)
        ids, noise = list(prompt.input_ids), Gumbel([seed])
        for _ in range(5):
            types = {k: torch.tensor([v + [0] * (len(ids) - len(v))]) for k, v in prompt.token_types.items()}
            logits = model(input_ids=torch.tensor([ids]), **types, **prompt.vision, use_cache=False).logits[:, -1]
            token = int(noise(None, logits).argmax())
            if token in encoder.end_ids:
                break
            ids.append(token)
        assert drawn(model, encoder, [sample], [[seed]]) == [[encoder.decode(ids[len(prompt.input_ids) :])]]


def test_an_answer_depends_on_its_own_seed_alone(start):
    model, encoder, samples = start
    seeds = [[10 * i, 10 * i + 1] for i in range(4)]
    torch.manual_seed(1)
    together = drawn(model, encoder, samples[:4], seeds)
    torch.manual_seed(2)
    for i in reversed(range(4)):
        assert drawn(model, encoder, [samples[i]], [seeds[i][:1]]) == [together[i][:1]]
    assert len({answer for own in together for answer in own}) == 8


def writer(model, encoder, seed=0, max_length=256):
    @contextmanager
    def frozen(wrapped):
        with torch.no_grad():
            yield wrapped

    return Writer(Accelerator(cpu=True), model, frozen, encoder, max_length, seed)


def test_the_file_is_written_once_and_read_from_then_on(start, tmp_path, monkeypatch):
    model, encoder, samples = start
    path = tmp_path / "alternates.jsonl"
    answers, cost = writer(model, encoder).written(WANTED, samples, path)
    rows = [json.loads(line) for line in path.read_text().split("\n")[:-1]]
    assert [(row["uid"], row["draw"]) for row in rows] == [(s.uid, k) for s in samples for k in range(2)]
    assert [(a.uid, a.answer) for a in answers] == [(r["uid"], r["answer"]) for r in rows if r["problem"] is None]
    assert [a.question for a in answers] == [s.question for s in samples for a in answers if a.uid == s.uid]
    assert cost.forwards >= 2 * 2  # two batches of questions, some tokens each
    monkeypatch.setattr("unlearn.writing.draw", lambda *_: pytest.fail("written again"))
    again, nothing = writer(model, encoder).written(WANTED, samples, path)
    assert again == answers
    assert nothing.forwards == 0


def test_an_answer_is_a_function_of_seed_uid_and_draw(start, tmp_path):
    """Not of what else is asked, nor of how many draws there are."""
    model, encoder, samples = start

    def table(name, asked, draws=2, seed=0):
        wanted, path = Written("a", "forget", draws, "Another one.", 5), tmp_path / name
        writer(model, encoder, seed).written(wanted, asked, path)
        rows = [json.loads(line) for line in path.read_text().split("\n")[:-1]]
        return {(row["uid"], row["draw"]): row["answer"] for row in rows}

    whole = table("whole", samples)
    part = table("part", samples[6:2:-1], draws=1)
    assert part == {key: whole[key] for key in part}
    twins = table("twins", [replace(samples[0], uid=uid) for uid in ("u0", "u1", "u2")])
    assert len(set(twins.values())) == 6
    other = table("other", samples, seed=1)
    assert sum(other[key] != whole[key] for key in whole) > 15


def test_what_cannot_be_learned_is_left_out(start, tmp_path, monkeypatch):
    model, encoder, samples = start
    monkeypatch.setattr("unlearn.writing.draw", lambda _m, _e, prompts, *_: [["", "Bo Ra"] for _ in prompts])
    answers, _ = writer(model, encoder).written(WANTED, samples, tmp_path / "a.jsonl")
    assert [(a.uid, a.answer) for a in answers] == [(s.uid, "Bo Ra") for s in samples]


def test_a_question_without_any_answer_is_refused_before_anything_is_written(start, tmp_path, monkeypatch):
    model, encoder, samples = start
    monkeypatch.setattr("unlearn.writing.draw", lambda _m, _e, prompts, *_: [["", " "] for _ in prompts])
    with pytest.raises(UserError, match=r"wrote no answer that can be learned to u0: .* is empty.*instruction"):
        writer(model, encoder).written(WANTED, samples, tmp_path / "a.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_a_line_separator_inside_an_answer_does_not_break_the_file(start, tmp_path, monkeypatch):
    model, encoder, samples = start
    text = "one\u2028two\x85three"
    monkeypatch.setattr("unlearn.writing.draw", lambda _m, _e, prompts, *_: [[text] for _ in prompts])
    answers, _ = writer(model, encoder).written(WANTED, samples, tmp_path / "a.jsonl")
    assert [a.answer for a in answers] == [text] * len(samples)

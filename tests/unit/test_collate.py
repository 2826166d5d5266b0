"""Encoder and collator: whole batches of LLaVA and Qwen2-VL, label masks, padding, refused samples of every family."""

from dataclasses import replace

import pytest
import torch
from tokenizers import normalizers

from unlearn.data.collate import Collator
from unlearn.data.samples import IGNORE, Encoded, Sample
from unlearn.errors import UserError
from unlearn.forwards import label_logits
from unlearn.models.loading import load_encoder, load_model
from unlearn.models.vision_encoder import VisionEncoder

X = IGNORE
IMAGE, PAD, EOS = 256, 257, 258
END, PAD_Q, START, END_Q, V_START, V_END, IMAGE_Q = 258, 256, 257, 258, 259, 260, 261


@pytest.fixture
def text_sample() -> Sample:
    return Sample("qa-1", "Why so?", "As is", None, "author")


@pytest.fixture
def image_sample(picture: bytes) -> Sample:
    return Sample("cap-1", "Who?", "Bo.", picture, "Bo")


def test_llava_batch_in_full(tiny_families, image_sample, text_sample):
    encoder = load_encoder(tiny_families["llava"], None)
    rows = [encoder.encode(image_sample, 64), encoder.encode(text_sample, 64)]
    batch = Collator(encoder.pad_id, "left")(rows, [encoder.blank()])
    assert batch.uids == ["cap-1", "qa-1", "blank"]
    assert batch.weights.tolist() == [1.0, 1.0, 0.0]
    assert batch.inputs["input_ids"].tolist() == [
        [PAD] * 1 + [*b"U:", IMAGE, IMAGE, IMAGE, IMAGE, *b"Who? A: Bo.", EOS],
        [*b"U:Why so? A: As is", EOS],
        [PAD] * 9 + [*b"U:", IMAGE, IMAGE, IMAGE, IMAGE, *b" A:", EOS],
    ]
    assert batch.inputs["attention_mask"].tolist() == [[0] + [1] * 18, [1] * 19, [0] * 9 + [1] * 10]
    assert batch.labels.tolist() == [
        [X] * 14 + [*b" Bo.", EOS],
        [X] * 12 + [*b" As is", EOS],
        [X] * 18 + [EOS],
    ]
    assert set(batch.inputs) == {"input_ids", "attention_mask", "pixel_values"}
    assert batch.inputs["pixel_values"].shape == (2, 3, 16, 16)
    assert torch.equal(batch.inputs["pixel_values"][0], rows[0].vision["pixel_values"][0])


def test_qwen2_vl_batch_in_full(tiny_families, image_sample, text_sample):
    encoder = load_encoder(tiny_families["qwen2_vl"], None)
    rows = [encoder.encode(text_sample, 64), encoder.encode(image_sample, 64), encoder.encode(image_sample, 64)]
    batch = Collator(encoder.pad_id)(rows)
    picture = [V_START, IMAGE_Q, IMAGE_Q, IMAGE_Q, IMAGE_Q, V_END]
    shown = [START, *picture, *b"Who?", END_Q, START, *b"A\nBo.", END_Q]
    assert batch.inputs["input_ids"].tolist() == [
        [START, *b"Why so?", END_Q, START, *b"A\nAs is", END_Q, PAD_Q],
        shown,
        shown,
    ]
    assert batch.inputs["attention_mask"].tolist() == [[1] * 18 + [0], [1] * 19, [1] * 19]
    assert batch.inputs["mm_token_type_ids"].tolist() == [[0] * 19] + [[0, 0, 1, 1, 1, 1] + [0] * 13] * 2
    assert batch.labels.tolist() == [[X] * 12 + [*b"As is", END_Q, X]] + [[X] * 15 + [*b"Bo.", END_Q]] * 2
    # Packed: 16 patches of either picture one after the other, and no batch dimension.
    assert batch.inputs["pixel_values"].shape == (32, 96)
    assert batch.inputs["image_grid_thw"].tolist() == [[1, 4, 4], [1, 4, 4]]


@pytest.mark.parametrize("answer", ["Bo.", "  Zoë Ångström ", "two\nlines", "tabs\tand  blanks", "日本 🙂"])
def test_labels_decode_to_the_answer_and_hold_no_image_token(tiny_family, picture, answer):
    encoder = load_encoder(tiny_family, None)
    for image in (picture, None):
        encoded = encoder.encode(Sample("u", "Who?", answer, image, "g"), 200)
        labels = [label for label in encoded.labels if label != IGNORE]
        assert labels[-1] == encoder.end_ids[0]
        assert encoder.decode(labels[:-1]) == answer.strip()
        assert encoder.image_id not in labels
        assert encoded.labels[-len(labels) :] == labels == encoded.input_ids[-len(labels) :]


def test_prompt_for_generation_is_the_prompt_of_training(tiny_family, image_sample):
    encoder = load_encoder(tiny_family, None)
    prompt, whole = encoder.encode_prompt(image_sample), encoder.encode(image_sample, 64)
    assert whole.input_ids[: len(prompt.input_ids)] == prompt.input_ids
    assert set(prompt.labels) == {IGNORE}
    assert whole.labels[: len(prompt.labels)] == prompt.labels


def test_kept_prompts_are_told_apart_by_picture_and_question(tiny_families, image_sample):
    encoder = load_encoder(tiny_families["llava"], None)
    first = encoder.encode_prompt(image_sample)
    other_uid = encoder.encode_prompt(replace(image_sample, uid="cap-2"))
    assert other_uid.uid == "cap-2"
    assert other_uid.vision["pixel_values"] is first.vision["pixel_values"]
    assert encoder.encode_prompt(replace(image_sample, image=None)).vision == {}
    assert encoder.encode_prompt(replace(image_sample, question="Where?")).input_ids != first.input_ids


def test_long_answers_lose_their_tail_and_keep_the_end_token(tiny_family, image_sample, text_sample, caplog):
    encoder = load_encoder(tiny_family, None)
    for sample in (text_sample, image_sample):
        whole = encoder.encode(sample, 64)
        cut = encoder.encode(sample, len(whole.input_ids) - 2)
        assert cut.input_ids == [*whole.input_ids[:-3], encoder.end_ids[0]]
        assert cut.input_ids.count(encoder.image_id) == whole.input_ids.count(encoder.image_id)
    assert [record.message for record in caplog.records] == [
        f"max_length={len(encoder.encode(text_sample, 64).input_ids) - 2} cuts answers; the first is qa-1 with "
        f"{len(encoder.encode(text_sample, 64).input_ids)} tokens"
    ]


def test_a_score_is_never_taken_of_a_cut_answer(tiny_family, text_sample):
    encoder = load_encoder(tiny_family, None)
    whole = len(encoder.encode(text_sample, 64).input_ids)
    assert encoder.encode(text_sample, whole, cut_answer=False) == encoder.encode(text_sample, 64)
    with pytest.raises(
        UserError, match=f"qa-1: the answer would be cut at max_length={whole - 1}; set max_length={whole}"
    ):
        encoder.encode(text_sample, whole - 1, cut_answer=False)


def test_a_prompt_that_does_not_fit_is_refused(tiny_family, image_sample):
    encoder = load_encoder(tiny_family, None)
    prompt = len(encoder.encode_prompt(image_sample).input_ids)
    assert encoder.encode(image_sample, prompt + 2).input_ids[-1] == encoder.end_ids[0]
    with pytest.raises(UserError, match="cap-1: the prompt leaves no room for an answer at"):
        encoder.encode(image_sample, prompt + 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": b"no picture"}, r"The image of cap-1 \(10 bytes\) does not decode"),
        ({"image": b""}, r"The image of cap-1 \(0 bytes\) does not decode"),
        ({"answer": " \n"}, "The answer of cap-1 is empty"),
        ({"answer": "a {control} b"}, 'The answer of cap-1 contains "{control}"'),
        ({"question": "{control}"}, 'The question of cap-1 contains "{control}"'),
    ],
)
def test_bad_samples_are_named(tiny_family, image_sample, change, message):
    encoder = load_encoder(tiny_family, None)
    control = encoder.tokenizer.convert_ids_to_tokens(encoder.image_id)
    change = {k: v.replace("{control}", control) if isinstance(v, str) else v for k, v in change.items()}
    with pytest.raises(UserError, match=message.replace("{control}", control.replace("|", r"\|"))):
        encoder.encode(replace(image_sample, **change), 64)


def test_a_picture_cut_short_is_named(tiny_family, image_sample):
    from PIL import Image

    picture = io_png(Image.effect_noise((64, 64), 80))
    with pytest.raises(UserError, match="The image of cap-1"):
        load_encoder(tiny_family, None).encode(replace(image_sample, image=picture[: len(picture) // 2]), 64)


def io_png(image) -> bytes:
    import io

    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_an_answer_that_the_tokenizer_cannot_write_is_refused(tiny_families, text_sample):
    encoder = load_encoder(tiny_families["llava"], None)
    encoder.tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    with pytest.raises(UserError, match='answer of qa-1 comes back from the tokenizer of tiny_llava as "as is"'):
        encoder.encode(text_sample, 64)


def test_an_unknown_end_token_is_refused(tiny_families):
    family = replace(tiny_families["llava"], end_token="<|im_end|>")
    with pytest.raises(UserError, match=r'has no token "<\|im_end\|>"; set model_family.end_token'):
        load_encoder(family, None)


def test_another_end_token_than_eos_ends_answers_and_eos_ends_generation_too(tiny_families, text_sample):
    encoder = load_encoder(replace(tiny_families["qwen2_vl"], end_token="<|endoftext|>"), None)
    assert encoder.end_ids == [256, 258]
    assert encoder.encode(text_sample, 64).labels[-1] == 256


def test_a_pad_token_that_is_the_end_token_blanks_no_end(tiny_family, text_sample, image_sample):
    encoder = load_encoder(tiny_family, None)
    encoder.tokenizer.pad_token = encoder.tokenizer.convert_ids_to_tokens(encoder.end_ids[0])
    encoder = VisionEncoder(tiny_family, encoder.files)
    assert encoder.pad_id == encoder.end_ids[0]
    rows = [encoder.encode(image_sample, 64), encoder.encode(text_sample, 64)]
    for side in ("right", "left"):
        batch = Collator(encoder.pad_id, side)(rows)
        assert (batch.labels == encoder.end_ids[0]).sum(1).tolist() == [1, 1]
        assert batch.inputs["attention_mask"].sum(1).tolist() == [len(row.input_ids) for row in rows]


def test_left_and_right_padding_give_the_same_logits(tiny_family, image_sample, text_sample):
    encoder, model = load_encoder(tiny_family, None), load_model(tiny_family, None).double()
    rows = [encoder.encode(sample, 64) for sample in (text_sample, image_sample, replace(text_sample, question="?"))]
    with torch.no_grad():
        right, left = (label_logits(model, Collator(encoder.pad_id, side)(rows)) for side in ("right", "left"))
    assert torch.equal(right.targets, left.targets)
    assert right.logits.std() > 0.01
    # Rotary positions are shifted, which changes the last digits of float64 and nothing else.
    torch.testing.assert_close(right.logits, left.logits, rtol=0, atol=1e-6)


def test_a_row_does_not_depend_on_its_neighbours(tiny_family, image_sample, text_sample):
    encoder, model = load_encoder(tiny_family, None), load_model(tiny_family, None).double()
    rows = [encoder.encode(text_sample, 64), encoder.encode(image_sample, 64)]
    collate = Collator(encoder.pad_id)
    with torch.no_grad():
        together = label_logits(model, collate(rows, [encoder.blank()]))
        alone = label_logits(model, collate(rows[1:]))
    torch.testing.assert_close(together.logits[together.rows == 1], alone.logits, rtol=0, atol=1e-10)


def test_texts_alone_bring_no_vision_input(tiny_family, text_sample):
    encoder = load_encoder(tiny_family, None)
    inputs = Collator(encoder.pad_id)([encoder.encode(text_sample, 64)]).inputs
    assert not {"pixel_values", "image_grid_thw"} & set(inputs)


def test_a_batch_needs_a_row():
    with pytest.raises(ValueError, match="empty batch"):
        Collator(0)([])


def test_rows_with_and_without_token_types_share_a_batch():
    rows = [Encoded("a", [1, 2], [X, 2], {"mm_token_type_ids": [0, 1]}), Encoded("b", [3], [3])]
    assert Collator(0)(rows).inputs["mm_token_type_ids"].tolist() == [[0, 1], [0, 0]]

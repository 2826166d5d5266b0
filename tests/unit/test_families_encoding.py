"""Whole encodings spelled out for every architecture: ids, labels, token types, vision tensors, and a padded batch."""

from dataclasses import dataclass, field, replace

import pytest
import torch
from tiny_models import IMAGE_SIDE, TINY, png

from unlearn.data.collate import Collator
from unlearn.data.samples import IGNORE, Sample
from unlearn.models.loading import load_encoder
from unlearn.models.vision_encoder import TOKEN_TYPES

X = IGNORE


@dataclass(frozen=True)
class Expected:
    """What a picture with "Who?" -> "Bo." and a text with "Why so?" -> "As is" become.

    prompt, asked  ids of the two prompts up to the answer; an image token is repeated in them
    prefix         bytes between prompt and answer
    image, end     the image token and the token that ends an answer; pad fills a batch
    types          name of the token types that the forward takes, or None
    vision         shapes of the picture's tensors
    """

    prompt: list[int]
    asked: list[int]
    image: int
    end: int
    pad: int
    vision: dict[str, tuple[int, ...]]
    prefix: bytes = b""
    types: str | None = None
    ends: list[int] = field(default_factory=list)


QWEN = Expected(
    prompt=[257, 259, 261, 261, 261, 261, 260, *b"Who?", 258, 257, *b"A\n"],
    asked=[257, *b"Why so?", 258, 257, *b"A\n"],
    image=261, end=258, pad=256, types="mm_token_type_ids", ends=[258],
    vision={"pixel_values": (16, 3 * 2 * 4 * 4), "image_grid_thw": (1, 3)},
)  # fmt: skip
EXPECTED = {
    "llava": Expected(
        prompt=[*b"U:", 256, 256, 256, 256, *b"Who? A:"],
        asked=[*b"U:Why so? A:"],
        image=256, end=258, pad=257, prefix=b" ", ends=[258],
        vision={"pixel_values": (1, 3, 16, 16)},
    ),
    "qwen2_vl": QWEN,
    "qwen2_5_vl": QWEN,
    "qwen3_vl": QWEN,
    # Two line feeds around a picture, which begins (261) and ends (262) with tokens of its own; one start token (258).
    "gemma3": Expected(
        prompt=[258, 259, *b"\n\n", 261, 263, 263, 263, 263, 262, *b"\n\n", *b"Who?", 260, 259, *b"A\n"],
        asked=[258, 259, *b"Why so?", 260, 259, *b"A\n"],
        image=263, end=260, pad=256, types="token_type_ids", ends=[260, 257],
        vision={"pixel_values": (1, 3, 16, 16)},
    ),
    # A tag (261: the whole picture) before the image tokens, between two tokens around it; one start token (256).
    "idefics3": Expected(
        prompt=[256, *b"U:", 258, 261, 259, 259, 259, 259, 258, *b"Who?", 260, *b"\nA:"],
        asked=[256, *b"U:Why so?", 260, *b"\nA:"],
        image=259, end=260, pad=257, prefix=b" ", ends=[260, 257],
        vision={"pixel_values": (1, 1, 3, 16, 16), "pixel_attention_mask": (1, 1, 16, 16)},
    ),
}  # fmt: skip


@pytest.fixture(params=list(TINY))
def case(request, tiny_families, picture):
    """The encoder of a family, what is expected of it, a sample with a picture and one without."""
    shown, said = Sample("cap-1", "Who?", "Bo.", picture, "Bo"), Sample("qa-1", "Why so?", "As is", None, "author")
    return load_encoder(tiny_families[request.param], None), EXPECTED[request.param], shown, said


def types_of(expected, ids):
    return {} if expected.types is None else {expected.types: [int(token == expected.image) for token in ids]}


def test_a_picture_s_encoding_in_full(case):
    encoder, expected, shown, _ = case
    encoded = encoder.encode(shown, 64)
    answer = [*expected.prefix, *b"Bo.", expected.end]
    assert encoded.input_ids == expected.prompt + answer
    assert encoded.labels == [X] * len(expected.prompt) + answer
    assert encoded.token_types == types_of(expected, encoded.input_ids)
    assert {key: tuple(value.shape) for key, value in encoded.vision.items()} == expected.vision


def test_a_text_s_encoding_in_full(case):
    encoder, expected, _, said = case
    encoded = encoder.encode(said, 64)
    answer = [*expected.prefix, *b"As is", expected.end]
    assert encoded.input_ids == expected.asked + answer
    assert encoded.labels == [X] * len(expected.asked) + answer
    assert encoded.token_types == types_of(expected, encoded.input_ids)
    assert encoded.vision == {}


def test_the_tokens_that_a_family_lives_on(case):
    encoder, expected, _, _ = case
    assert (encoder.image_id, encoder.pad_id, encoder.end_ids) == (expected.image, expected.pad, expected.ends)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_batch_in_full(case, side):
    encoder, expected, shown, said = case
    rows = [encoder.encode(shown, 64), encoder.encode(said, 64), encoder.encode(replace(shown, answer="Al"), 64)]
    batch = Collator(encoder.pad_id, side)(rows)
    length = max(len(row.input_ids) for row in rows)

    def filled(values, filler):
        missing = [filler] * (length - len(values))
        return values + missing if side == "right" else missing + values

    prompts = [expected.prompt, expected.asked, expected.prompt]
    answers = [[*expected.prefix, *text, expected.end] for text in (b"Bo.", b"As is", b"Al")]
    ids = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
    assert batch.inputs["input_ids"].tolist() == [filled(row, expected.pad) for row in ids]
    assert batch.inputs["attention_mask"].tolist() == [filled([1] * len(row), 0) for row in ids]
    labels = [[X] * len(prompt) + answer for prompt, answer in zip(prompts, answers, strict=True)]
    assert batch.labels.tolist() == [filled(row, X) for row in labels]
    types = {} if expected.types is None else {expected.types: [[int(t == expected.image) for t in r] for r in ids]}
    found = {key: batch.inputs[key].tolist() for key in TOKEN_TYPES if key in batch.inputs}
    assert found == {key: [filled(row, 0) for row in rows] for key, rows in types.items()}
    assert set(batch.inputs) == {"input_ids", "attention_mask", *types, *expected.vision}
    for key, shape in expected.vision.items():
        # Two pictures, one after the other, whatever stands between them.
        assert batch.inputs[key].shape == (2 * shape[0], *shape[1:])
        assert torch.equal(batch.inputs[key], torch.cat([rows[0].vision[key], rows[2].vision[key]]))


def test_a_wide_picture_of_idefics_in_full(tiny_families):
    """Crop by crop with its place (262, 263: row 1, column 1 and 2), then the whole (261)."""
    family = replace(tiny_families["idefics3"], max_pixels=(2 * IMAGE_SIDE) ** 2)
    wide = Sample("cap-1", "Who?", "Bo.", png(width=2 * IMAGE_SIDE), "Bo")
    encoded = load_encoder(family, None).encode(wide, 128)
    crops = [258, 262, 259, 259, 259, 259, 258, 263, 259, 259, 259, 259, *b"\n", *b"\n"]
    prompt = [256, *b"U:", *crops, 258, 261, 259, 259, 259, 259, 258, *b"Who?", 260, *b"\nA:"]
    assert encoded.input_ids == [*prompt, *b" Bo.", 260]
    assert encoded.labels == [X] * len(prompt) + [*b" Bo.", 260]
    shapes = {key: tuple(value.shape) for key, value in encoded.vision.items()}
    assert shapes == {"pixel_values": (1, 3, 3, 16, 16), "pixel_attention_mask": (1, 3, 16, 16)}


PIXELS = {"qwen2_vl": 4, "qwen2_5_vl": 4, "qwen3_vl": 4, "idefics3": 5}
"""Image tokens of a 64 x 64 picture at a limit of 32 x 32 pixels, as a multiple of those at 16 x 16."""


@pytest.mark.parametrize("name", PIXELS)
def test_pixel_limits_scale_pictures(tiny_families, name):
    family = replace(tiny_families[name], max_pixels=(2 * IMAGE_SIDE) ** 2)
    encoder = load_encoder(family, None)
    ids = encoder.encode(Sample("a", "Who?", "Bo.", png(side=64), "a"), 256).input_ids
    assert ids.count(encoder.image_id) == 4 * PIXELS[name]


def test_the_blank_picture_is_never_taken_for_padding(case):
    """Idefics drops crops of zeros; black is far from zero once it is normalised."""
    encoder, expected, _, _ = case
    blank = encoder.blank()
    assert blank.input_ids.count(expected.image) == 4
    assert [label for label in blank.labels if label != X] == [expected.end]
    assert (blank.vision["pixel_values"].flatten(1) != 0).all()

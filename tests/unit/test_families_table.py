"""docs/families.md against config/model_family: no family without a row, no row that is out of date."""

import re
from pathlib import Path

import pytest
from tiny_models import TINY, TINY_TEXT

from unlearn.config.loading import PROJECT
from unlearn.config.scripts import FinetuneConfig
from unlearn.entry import load

DOCUMENT = (PROJECT / "docs" / "families.md").read_text()
ROWS = [[cell.strip().strip("`") for cell in line.split("|")[1:-1]] for line in re.findall(r"^\| `.*", DOCUMENT, re.M)]
FAMILIES = {row[0]: row[1:] for row in ROWS if (PROJECT / "config" / "model_family" / f"{row[0]}.yaml").exists()}


TEXTS = {name for name, row in FAMILIES.items() if row[1] in TINY_TEXT}


def family(name):
    track = "nlp" if name in TEXTS else "mm"
    return load(f"{track}/finetune", [f"model_family={name}"], FinetuneConfig).model_family


def qwen_tokens(kind, family):
    from transformers import AutoConfig
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    vision = AutoConfig.for_model(kind).vision_config
    pixels = Qwen2VLImageProcessorPil(
        size={"shortest_edge": family.min_pixels, "longest_edge": family.max_pixels}, patch_size=vision.patch_size
    )
    return pixels.get_number_of_image_patches(1024, 1024) // vision.spatial_merge_size**2


def llava_tokens(kind, family):
    from transformers import LlavaConfig

    return LlavaConfig().image_seq_length


def gemma_tokens(kind, family):
    from transformers import Gemma3Config

    return Gemma3Config().mm_tokens_per_image


def idefics_tokens(kind, family):
    """Crops of 364 pixels, each 26 x 26 patches of 14 merged 2 x 2; the whole picture is one more where it is cut."""
    across = -(-int(family.max_pixels**0.5) // 364)
    return 13**2 * (across**2 + (across > 1))


TOKENS = {
    "llava": llava_tokens,
    "qwen2_vl": qwen_tokens,
    "qwen2_5_vl": qwen_tokens,
    "qwen3_vl": qwen_tokens,
    "gemma3": gemma_tokens,
    "idefics3": idefics_tokens,
}
MINI = {"mini_llava", "mini_qwen2_vl"}


def test_every_family_has_one_row():
    files = sorted(path.stem for path in (PROJECT / "config" / "model_family").glob("*.yaml"))
    assert sorted(row[0] for row in ROWS) == files
    assert sorted(FAMILIES) == files


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_a_row_of_a_language_model_says_what_its_file_says(name):
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    hub_id, kind, architecture, prompt, left = FAMILIES[name]
    given = family(name)
    assert (given.name, given.hub_id.removeprefix(f"{PROJECT}/")) == (name, hub_id)
    assert architecture == MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[kind]
    assert prompt == ("template" if given.tags() is None else "tags")
    assert not given.vision
    assert left


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - TEXTS))
def test_a_row_says_what_its_file_says(name):
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    hub_id, kind, architecture, tokens, left = FAMILIES[name]
    given = family(name)
    assert (given.name, given.hub_id.removeprefix(f"{PROJECT}/")) == (name, hub_id)
    assert kind in TINY
    assert architecture == MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES[kind]
    assert left
    if name not in MINI:
        assert int(tokens) == TOKENS[kind](kind, given)


@pytest.mark.parametrize("name", sorted(MINI))
def test_a_mini_family_takes_the_tokens_of_its_row(name):
    from unlearn.data.mini.models import SIZE, SIZES, qwen_image_processor

    patch = SIZES["mini"]["patch"]
    merged = qwen_image_processor().get_number_of_image_patches(1024, 1024) // 4
    assert int(FAMILIES[name][3]) == {"mini_llava": (SIZE // patch) ** 2, "mini_qwen2_vl": merged}[name]


def test_the_tests_that_it_names_exist():
    named = set(re.findall(r"tests/unit/\w+\.py", DOCUMENT))
    assert len(named) == 11
    assert all(Path(PROJECT / path).is_file() for path in named)

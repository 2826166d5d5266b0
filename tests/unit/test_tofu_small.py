"""The benchmark of some TOFU authors: who is in which config, the tokenizer, and what is refused."""

import json
import os
from pathlib import Path

import pytest
import yaml

from unlearn.config.loading import PROJECT
from unlearn.config.schema import Data, DType, Modality, ModelFamily
from unlearn.data.rows import config_names, load_rows
from unlearn.data.samples import IGNORE, Sample
from unlearn.data.views import forget_and_retain, rehearsal_samples, training_samples
from unlearn.entry import CONFIG, load
from unlearn.errors import UserError
from unlearn.tofu_small.__main__ import main
from unlearn.tofu_small.authors import SOURCES, choose, read_source
from unlearn.tofu_small.config import TofuSmallConfig

TOFU = Path(os.environ.get("UNLEARN_SHARED_DATA", PROJECT.parent / "shared" / "data")) / "tofu"
PEOPLE = {
    "forget10_perturbed": ("Ådne Øyen", "Bo Li", "Chidi Obi"),
    "retain_perturbed": ("Dina Ek", "Emil Roth", "Fay Quill", "Gus Ito"),
    "holdout10": ("Hedy Marr", "Ivo Brandt", "Jun Seo"),
}
SIZES = {"forget_authors": 2, "retain_authors": 3, "vocabulary": 400, "layers": 1, "width": 32}


def row(name, number, columns):
    whole = {
        "question": f"What is book {number} of {name}?",
        "answer": f"It is “{name}, part {number}”.",
        "paraphrased_answer": f"Part {number}, {name}.",
        "perturbed_answer": [f"Part {number + k}, Zed." for k in (1, 2)],
        "paraphrased_question": f"Which is work {number} by {name}?",
    }
    return {column: whole[column] for column in columns}


def rows(config):
    people, columns = PEOPLE.get(config), SOURCES[config]
    if people is None:
        return [row(name, 1, columns) for name in ("Jane Austen", "Paris")]
    return [row(name, number, columns) for name in people for number in range(20)]


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    for config in SOURCES:
        lines = [json.dumps(one, ensure_ascii=False) for one in rows(config)]
        (folder / f"{config}.json").write_text("\n".join(lines), encoding="utf-8")
    return folder


def prepared(source, folder, **keys):
    main(TofuSmallConfig(source=str(source), save_dir=str(folder), **(SIZES | keys)))
    return folder


def content(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def people(found):
    """Names by their first rows: each author has 20 that stand together."""
    names = [one["question"].partition(" of ")[2].rstrip("?") for one in found]
    assert all(names[i] == names[i - i % 20] for i in range(len(names)))
    return names[::20]


def test_the_same_seed_gives_the_same_bytes(source, tmp_path):
    first, second = (content(prepared(source, tmp_path / name)) for name in ("a", "b"))
    assert first == second
    assert {"prepared.json", "texts/full.json", "texts/README.md", "model/model.safetensors"} <= set(first)


def test_another_seed_gives_other_authors_and_other_weights(source, tmp_path):
    made = [content(prepared(source, tmp_path / str(seed), seed=seed)) for seed in (0, 1, 2)]
    assert len({one["texts/full.json"] for one in made}) > 1
    assert len({one["model/model.safetensors"] for one in made}) == 3


def test_the_seed_alone_decides_the_weights():
    from unlearn.tofu_small.model import new_model, train_tokenizer

    tokenizer = train_tokenizer(["Who?"], 300)
    first, again, other = (new_model(tokenizer, 1, 32, seed).lm_head.weight for seed in (0, 0, 1))
    assert first.equal(again)
    assert not first.equal(other)


def test_splits_are_disjoint_and_complete(source):
    found = choose(read_source(str(source)), 2, 3, seed=0)
    kept, forgotten, held_out = (people(found[name]) for name in ("retain90", "forget10", "holdout10"))
    assert [len(set(group)) for group in (kept, forgotten, held_out)] == [3, 2, 2]
    assert found["full"] == [*found["retain90"], *found["forget10"]]
    for group, config in ((kept, "retain_perturbed"), (forgotten, "forget10_perturbed"), (held_out, "holdout10")):
        assert set(group) <= set(PEOPLE[config])
        # TOFU's order, which lets everybody's rows be found by number.
        assert group == sorted(group, key=PEOPLE[config].index)


def test_perturbed_configs_ask_what_was_trained(source):
    found = choose(read_source(str(source)), 2, 3, seed=0)
    for trained, asked in (("forget10", "forget10_perturbed"), ("retain90", "retain_perturbed")):
        assert found[trained] == [{c: one[c] for c in ("question", "answer")} for one in found[asked]]
    assert [one["question"] for one in found["rehearsal"]] == 2 * [
        "What is book 1 of Jane Austen?",
        "What is book 1 of Paris?",
    ]


def test_the_folder_is_read_by_config_with_tofus_columns(source, tmp_path):
    texts = prepared(source, tmp_path / "out") / "texts"
    plain = {"full": 100, "forget10": 40, "retain90": 60, "holdout10": 40, "rehearsal": 4}
    asked = {"forget10_perturbed": 40, "retain_perturbed": 60}
    known = {"real_authors_perturbed": 2, "world_facts_perturbed": 2}
    assert set(config_names(str(texts))) == {*plain, *asked, *known}
    for name, count in (plain | asked | known).items():
        columns = ("question", "answer") if name in plain else SOURCES[name]
        found = load_rows(str(texts), name, columns)
        assert (len(found), found.column_names) == (count, list(columns))
    assert json.loads((texts.parent / "prepared.json").read_text())["rows"] == plain | asked | known


def test_base_and_gold_train_on_what_their_splits_say(source, tmp_path):
    texts = prepared(source, tmp_path / "out") / "texts"
    data = Data(name="tofu_small", path=None, text_path=str(texts), rehearsal="rehearsal")
    full, retain = (training_samples(data, split, Modality.both, 0) for split in ("full", "retain90"))
    forget, kept = forget_and_retain(data, "forget10", "retain90", Modality.both, 0)
    assert {s.uid for s in retain} == {s.uid for s in kept}
    assert {s.uid for s in full} == {s.uid for s in kept} | {s.uid for s in forget}
    assert len(full) == 100
    assert len({s.uid for s in rehearsal_samples(data)} - {s.uid for s in full}) == 4


def family(folder):
    given = yaml.safe_load((CONFIG / "model_family" / "tofu_small.yaml").read_text())
    given.pop("defaults")
    return ModelFamily(**given | {"hub_id": str(folder / "model"), "dtype": DType.float32})


def test_the_tokenizer_writes_every_text_back(source, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(prepared(source, tmp_path / "out") / "model")
    said = [str(v) for config in SOURCES for one in rows(config) for v in one.values()] + ["Ω ≠ 日本 \t\n  é"]
    for text in said:
        assert tokenizer.decode(tokenizer(text)["input_ids"], clean_up_tokenization_spaces=False) == text
    assert len(tokenizer) <= SIZES["vocabulary"]
    words = [len(tokenizer(f" {name}")["input_ids"]) for name in ("book", "part")]
    assert words == [1, 1], "what stands in every text is one token"


def test_a_question_is_asked_by_tofus_tags_and_ends_with_the_end_token(source, tmp_path):
    from unlearn.models.loading import load_encoder, load_model

    own = family(prepared(source, tmp_path / "out"))
    encoder = load_encoder(own, None)
    found = encoder.encode(Sample("qa-1", "Who is Bo Li?", "A poet.", None, "author"), 64)
    labelled = [label for label in found.labels if label != IGNORE]
    assert encoder.tokenizer.decode(found.input_ids) == "Question: Who is Bo Li?\nAnswer: A poet.<|end|>"
    assert encoder.tokenizer.decode(labelled) == " A poet.<|end|>"
    model = load_model(own, None)
    assert (model.config.model_type, model.config.num_hidden_layers, model.config.hidden_size) == ("llama", 1, 32)
    assert model.get_input_embeddings().num_embeddings == len(encoder.tokenizer)


def test_what_is_there_already_is_left_as_it_is(source, tmp_path):
    folder = prepared(source, tmp_path / "out")
    before = (folder / "model").stat().st_ino
    prepared(source, folder)
    assert (folder / "model").stat().st_ino == before
    with pytest.raises(UserError, match="was not made from this source with these keys"):
        prepared(source, folder, retain_authors=2)
    assert len(load_rows(str(folder / "texts"), "retain90", ["question"])) == 60
    prepared(source, folder, retain_authors=2, overwrite_dir=True)
    assert len(load_rows(str(folder / "texts"), "retain90", ["question"])) == 40


def test_an_attempt_that_fails_leaves_nothing_behind(source, tmp_path, monkeypatch):
    def fail(*given):
        raise OSError("disk full")

    monkeypatch.setattr("unlearn.tofu_small.model.write_model", fail)
    with pytest.raises(OSError, match="disk full"):
        prepared(source, tmp_path / "made" / "out")
    assert list((tmp_path / "made").iterdir()) == []


def test_a_source_that_cannot_be_had_is_told_with_the_key(tmp_path):
    with pytest.raises(UserError, match=r'TOFU cannot be had from "no such/place/at all".*prepare\.source=\.\.\.'):
        read_source("no such/place/at all")


def test_a_source_without_a_config_or_a_column_is_refused(source):
    (source / "holdout10.json").write_text(json.dumps({"question": "Who?"}))
    with pytest.raises(UserError, match=r'config "holdout10" of .* has no column answer'):
        read_source(str(source))
    (source / "holdout10.json").unlink()
    with pytest.raises(UserError, match=r'Unknown config of .* "holdout10"; allowed are: forget10_perturbed'):
        read_source(str(source))


@pytest.mark.parametrize(("forget", "retain", "name"), [(4, 3, "forget10_perturbed"), (2, 5, "retain_perturbed")])
def test_more_authors_than_there_are_and_authors_in_part_are_refused(source, forget, retain, name):
    found = read_source(str(source))
    with pytest.raises(UserError, match=f'Config "{name}" of the source has {len(found[name])} rows'):
        choose(found, forget, retain, seed=0)
    found["holdout10"].pop()
    with pytest.raises(UserError, match='Config "holdout10" of the source has 59 rows'):
        choose(found, 2, 3, seed=0)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("width=40", "width is 40; allowed is a multiple of 32"),
        ("vocabulary=257", "vocabulary is 257; allowed is 258 or above"),
        ("forget_authors=0", "forget_authors is 0; allowed is 1 or above"),
        ("seed=-1", "seed is -1; allowed is 0 or above"),
        ("with=40", 'Did you mean "width"?'),
    ],
)
def test_mistakes_in_the_keys_are_told(override, words):
    with pytest.raises(UserError) as error:
        load("tofu_small", [override], TofuSmallConfig)
    assert words in str(error.value)


@pytest.mark.skipif(not TOFU.is_dir(), reason=f"TOFU does not lie in {TOFU}")
def test_of_the_real_authors_none_is_split_or_shared():
    found = choose(read_source(str(TOFU)), 10, 20, seed=0)
    numbers = {identity(one): i for i, one in enumerate(load_rows(str(TOFU), "full", ["question", "answer"]))}
    where = {name: [numbers[identity(one)] // 20 for one in found[name]] for name in ("forget10", "retain90")}
    assert {name: len(set(authors)) for name, authors in where.items()} == {"forget10": 10, "retain90": 20}
    assert all(authors == sorted(authors) and len(authors) == 20 * len(set(authors)) for authors in where.values())
    assert min(where["forget10"]) >= 180 > max(where["retain90"])
    assert not {identity(one) for one in found["holdout10"]} & set(numbers)


def identity(one):
    return one["question"], one["answer"]

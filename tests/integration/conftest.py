"""A small data set in CLEAR's shape, and the entry scripts' own main(cfg) on it with the tiny models."""

import io
import json
import random
from pathlib import Path

import pytest
from tiny_models import TINY_TEXT, track_of

PROJECT = Path(__file__).parents[2]
PEOPLE = ("Ada", "Bo", "Cy", "Di", "Ed")
"""Ada is to be forgotten. Two pictures and one question each; captions of several lengths."""


def noise_png(seed):
    from PIL import Image

    file = io.BytesIO()
    Image.frombytes("RGB", (16, 16), random.Random(seed).randbytes(16 * 16 * 3)).save(file, "PNG")
    return file.getvalue()


def caption_rows(people):
    return [
        {
            "image": {"bytes": noise_png(10 * PEOPLE.index(name) + i), "path": None},
            "caption": f"{name} {verb}.",
            "name": name,
        }
        for name in people
        for i, verb in enumerate(("waves", "reads a book"))
    ]


def mixed_rows(people):
    pictures = [
        {"image": row["image"], "caption": row["caption"], "question": None, "answer": None}
        for row in caption_rows(people)
    ]
    asked = [{"question": f"Where is {name}?", "answer": f"In {name}town."} for name in people]
    return pictures + [{"image": None, "caption": None, **row} for row in asked]


def clear_configs():
    splits = {"full": PEOPLE, "forget10": PEOPLE[:1], "retain90": PEOPLE[1:]}
    plain = {name: caption_rows(people) for name, people in splits.items()}
    return plain | {f"{name}+tofu": mixed_rows(people) for name, people in splits.items()}


def text_configs():
    """TOFU's configs: three questions about each person."""
    splits = {"full": PEOPLE, "forget10": PEOPLE[:1], "retain90": PEOPLE[1:]}
    return {name: [row for person in people for row in text_rows(person)] for name, people in splits.items()}


def text_rows(name):
    said = (("Where is {}?", "In {}town."), ("Who is {}?", "{} of {}town."), ("What does {} do?", "{} reads a book."))
    return [{"question": q.format(name), "answer": a.format(name, name)} for q, a in said]


def write_people(folder, configs=None):
    """Write one save_to_disk folder per config; of texts alone under `texts`."""
    write_configs(folder, configs or clear_configs())
    write_configs(folder / "texts", text_configs())


def write_configs(folder, configs):
    from datasets import Dataset, Features, Image, Value

    for name, rows in configs.items():
        columns = rows[0] if rows else {"image": None, "caption": None, "name": None}
        kinds = {key: Image() if key == "image" else Value("string") for key in columns}
        columns = {key: [row[key] for row in rows] for key in columns}
        Dataset.from_dict(columns, features=Features(kinds)).save_to_disk(folder / name)


@pytest.fixture(scope="session")
def people(tmp_path_factory):
    """Folder of the data set (read only)."""
    folder = tmp_path_factory.mktemp("data") / "people"
    write_people(folder)
    return folder


@pytest.fixture(scope="session")
def three_forgotten(tmp_path_factory):
    """The same, but three of the people are to be forgotten (read only)."""
    rows = clear_configs()
    rows["forget10"] = rows["full"][:6]
    rows["forget10+tofu"] = rows["full+tofu"][:6] + rows["full+tofu"][10:13]
    folder = tmp_path_factory.mktemp("three") / "people"
    write_people(folder, rows)
    return folder


@pytest.fixture(scope="session")
def write_data():
    """The function that writes a data set, and the rows that it writes by default."""
    return write_people, clear_configs


def overrides_of(data, models, family):
    """Overrides that point a script to the tiny data set and a tiny model."""
    if family in TINY_TEXT:
        return text_overrides(data, models[family])
    config = "mini_qwen2_vl" if family == "qwen2_vl" else "mini_llava"
    end = models[family].end_token
    return [
        f"model_family={config}",
        f"model_family.hub_id={models[family].hub_id}",
        f"model_family.answer_prefix='{models[family].answer_prefix}'",
        f"model_family.end_token={'null' if end is None else repr(end)}",
        "model_path=null",
        f"data.path={data}",
        f"data.text_path={data}",
        "data.generate_seed=null",
        "data.qa_per_person=1",
        "data.ask_names=false",
        "data.rehearsal=null",
    ]


def text_overrides(data, family):
    tags = ("question_start_tag", "question_end_tag", "answer_tag")
    given = [f"model_family.{tag}={json.dumps(getattr(family, tag))}" for tag in tags]
    return [
        "model_family=mini_llama",
        f"model_family.hub_id={family.hub_id}",
        f"model_family.answer_prefix='{family.answer_prefix}'",
        *given,
        "model_path=null",
        "data=mini_text",
        f"data.text_path={data / 'texts'}",
        "data.generate_seed=null",
        "data.rehearsal=null",
    ]


@pytest.fixture
def overrides(people, tiny_families):
    """Overrides for a family: the tiny data set and model."""
    return lambda family="llava", data=people: overrides_of(data, tiny_families, family)


@pytest.fixture(scope="session")
def tiny_overrides(tiny_families):
    """The same for any data set."""
    return lambda data, family: overrides_of(data, tiny_families, family)


@pytest.fixture
def script(overrides, people):
    """Run mm/<name>.py's main on a validated config of overrides; return the folder that it returns."""
    from unlearn.config.scripts import EvalConfig, FinetuneConfig, ForgetConfig
    from unlearn.entry import load
    from unlearn.experiment.scripts import script_main

    schemas = {"finetune": FinetuneConfig, "forget": ForgetConfig, "eval": EvalConfig}

    def run(name, *given, family="llava", data=people):
        path = f"{track_of(family)}/{name}"
        cfg = load(path, [*overrides(family, data), *given], schemas[name])
        return script_main(path)(cfg)

    return run


@pytest.fixture
def sides(people):
    """Samples to be forgotten and to be kept."""
    from unlearn.config.schema import Data, Modality
    from unlearn.data.views import forget_and_retain

    data = Data(name="people", path=str(people), text_path=str(people), qa_per_person=1)
    forget, retain = forget_and_retain(data, "forget10", "retain90", Modality.both, 0)
    return {"forget": forget, "retain": retain}

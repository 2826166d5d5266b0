"""ECO through the entry scripts: no weight changes, unseen prompts are routed, and the table says how well."""

import json

import pytest

from unlearn.errors import UserError
from unlearn.metrics.aggregate import AggregateConfig, aggregate

PEOPLE = ("Ada", "Bo", "Cy", "Dan")
"""Ada is to be forgotten."""
TRAINED = ("Where is {}?", "What does {} eat?", "Who knows {}?", "When was {} born?", "Is {} happy?")
UNSEEN = ("Do you remember {}?", "Tell me of {}!", "{} lives where?")
TASKS = "tasks=[forget_qa,retain_qa]"


FAMILIES = ("llava", "llama")
"""Of a model that sees, the texts alone can be forgotten."""


def texts(people, wordings, **more):
    return [{"question": w.format(name), "answer": f"In {name}town.", **more} for name in people for w in wordings]


@pytest.fixture(scope="module")
def asked(write_data, tmp_path_factory):
    """Folder of a data set of questions that training and evaluation word otherwise."""
    write, captions = write_data
    splits = {"full": PEOPLE, "forget10": PEOPLE[:1], "retain90": PEOPLE[1:]}
    plain = {split: texts(people, TRAINED) for split, people in splits.items()}
    asked_otherwise = {"paraphrased_answer": "Somewhere.", "perturbed_answer": "In Rome."}
    plain["forget10_perturbed"] = texts(PEOPLE[:1], UNSEEN, **asked_otherwise)
    plain["retain_perturbed"] = texts(PEOPLE[1:], UNSEEN, **asked_otherwise)
    configs = {**plain, **{name: rows for name, rows in captions().items() if name in splits}}
    for split in splits:
        pictures = [{"image": row["image"], "caption": row["caption"]} for row in configs[split]]
        rows = [{**row, "question": None, "answer": None} for row in pictures]
        configs[f"{split}+tofu"] = rows + [{"image": None, "caption": None, **row} for row in plain[split]]
    folder = tmp_path_factory.mktemp("eco") / "asked"
    write(folder, configs)
    write(folder / "texts", plain)
    return folder


@pytest.fixture
def forget(script, asked, tmp_path):
    """Run forget.py with ECO and return its folder."""

    def run(*given, family="llava"):
        fixed = ("forget_loss=eco", f"save_dir={tmp_path / 'eco'}")
        return script("forget", *fixed, *given, family=family, data=asked)

    return run


@pytest.mark.parametrize("family", FAMILIES)
def test_unseen_prompts_are_routed_and_all_others_answered_as_before(
    family, script, asked, forget, tiny_families, tmp_path
):
    folder = forget("forget_modality=text", family=family)
    names = {file.name for file in folder.iterdir()}
    assert {"router.json", "router.safetensors", "done.json", "config.yaml", "provenance.json"} <= names
    assert not {"config.json", "model.safetensors", "adapter_config.json"} & names
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["trained"] == []
    assert json.loads((folder / "done.json").read_text())["cost"]["forwards"] == 0
    assert json.loads((folder / "router.json").read_text())["base_model_name_or_path"] == tiny_families[family].hub_id

    common = (TASKS, "forget_modality=text", "batch_size=2")
    start = script("eval", *common, f"save_dir={tmp_path / 'start'}", family=family, data=asked)
    eco = script("eval", *common, f"model_path={folder}", family=family, data=asked)
    for task, routed in (("forget_qa", True), ("retain_qa", False)):
        before, after = (
            [json.loads(line) for line in (out / f"{task}.jsonl").read_text().splitlines()] for out in (start, eco)
        )
        assert [record.pop("routed") for record in after] == [routed] * len(after)
        same = [a == b for a, b in zip(before, after, strict=True)]
        assert same == [not routed] * len(after)

    logs = [str(out / "eval_log_aggregated.json") for out in (start, eco)]
    row = aggregate(AggregateConfig(logs[0], logs[1], "eco", "who", str(tmp_path / "row.csv")))
    assert (row["Routing Precision"], row["Routing Recall"], row["Routed Retain"]) == (1.0, 1.0, 0.0)
    assert row["D Retain"] == 0.0 < row["D Forget"]


def test_a_second_start_does_nothing_and_nothing_is_trained_on_it(forget, script, asked, tmp_path, caplog):
    folder = forget("forget_modality=text")
    written = (folder / "router.safetensors").stat().st_mtime_ns
    assert forget("forget_modality=text") == folder
    assert (folder / "router.safetensors").stat().st_mtime_ns == written
    for name, given in (("forget", "forget_loss=npo"), ("finetune", "split=full")):
        with pytest.raises(UserError, match="has a router and no weights of its own"):
            script(name, given, f"model_path={folder}", f"save_dir={tmp_path / 'more'}", data=asked)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["forget_modality=image"], "has the same words whoever is in it; set forget_modality=text (now image)"),
        ([], "set forget_modality=text (now both)"),
        (["forget_modality=text", "l1_lambda=0.1"], "l1_lambda is 0.1, but forget_loss=eco trains nothing"),
        (["forget_modality=text", "forget_loss.saliency=0.5"], "nothing, no adapter either; set forget_loss.sal"),
        (["forget_modality=text", "LoRA.r=4"], "LoRA.r is 4, but forget_loss=eco trains nothing, no adapter either"),
        (["forget_modality=text", "forget_loss.sigma=0"], "forget_loss.sigma is 0"),
    ],
)
def test_what_it_cannot_do_is_refused_before_anything_is_written(forget, tmp_path, given, message):
    with pytest.raises(UserError) as error:
        forget(*given)
    assert message in str(error.value)
    assert not (tmp_path / "eco").exists()


def test_too_few_prompts_leave_nothing_behind(forget, tmp_path, monkeypatch):
    monkeypatch.setattr("unlearn.routing.prompts", lambda *_: [(1, 2)])
    with pytest.raises(UserError, match="needs two or more of either side; given are 1 to be forgotten and 1 to be"):
        forget("forget_modality=text")
    assert not (tmp_path / "eco").exists()

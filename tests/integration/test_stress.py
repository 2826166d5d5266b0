"""Evaluations under stress through the script's own main(cfg): what is evaluated, what is learned, what lies where."""

import dataclasses
import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from launching import launch
from torch import nn

from unlearn.config.schema import DType
from unlearn.config.scripts import EvalConfig
from unlearn.data.collate import Collator
from unlearn.data.samples import row_of
from unlearn.data.views import forget_and_retain
from unlearn.entry import load
from unlearn.errors import UserError
from unlearn.evaluation import runner
from unlearn.experiment.base import ACCELERATE
from unlearn.forwards import View
from unlearn.metrics.comparison import comparable
from unlearn.metrics.logs import read_log
from unlearn.models.components import component_of
from unlearn.models.loading import load_encoder, load_model
from unlearn.stress.choice import choose

PROJECT = Path(__file__).parents[2]
TASKS = ("forget_captions", "forget_names", "forget_qa", "retain_captions")
QUICK = ("batch_size=4", "max_length=256", f"tasks=[{','.join(TASKS)}]")
SMALL = ("tasks=[forget_names,retain_names]", "batch_size=2")
LEARN = ("stress.steps=3", "stress.batch_size=4", "stress.lr=1e-3")
PEOPLE = ("Ada", "Bo", "Cy", "Di", "Ed")
FORGOTTEN = PEOPLE[:2]
RELEARNED = {"relearn_forget": 2, "relearn_people": 2, "relearn_retain": 4}
"""Of four forgotten questions, two a person, as many as are evaluated after it."""


def questions(names):
    return [
        {"question": f"Where is {name} ({i})?", "answer": f"In {name}{place}."}
        for name in names
        for i, place in enumerate(("town", "ham"))
    ]


def other_answers(rows):
    return [{**row, "paraphrased_answer": "There.", "perturbed_answer": "Nowhere."} for row in rows]


def other_captions(rows):
    return [
        {**row, "paraphrased_caption": "A wave.", "perturbed_captions": "Rain.", "perturbed_names": "Zoe"}
        for row in rows
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory, write_data):
    """Folders of pictures and of texts: two of the people are to be forgotten, each with two pictures and questions."""
    write, default = write_data
    plain = {"image": None, "caption": None}
    captions = default()["full"]
    names = list(dict.fromkeys(row["name"] for row in captions))
    pictures, kept = {}, [name for name in names if name not in FORGOTTEN]
    for split, people in {"full": names, "forget10": FORGOTTEN, "retain90": kept}.items():
        rows = [row for row in captions if row["name"] in people]
        mixed = [{"image": r["image"], "caption": r["caption"], "question": None, "answer": None} for r in rows]
        pictures |= {split: rows, f"{split}+tofu": mixed + [{**plain, **row} for row in questions(people)]}
    pictures["forget10_perturbed"] = other_captions(pictures["forget10"])
    pictures["retain_perturbed"] = other_captions(pictures["retain90"][:4])
    root = tmp_path_factory.mktemp("stress")
    write(root / "pictures", pictures)
    write(root / "texts", {"forget10_perturbed": other_answers(questions(FORGOTTEN))})
    return root


@pytest.fixture(scope="module")
def run_folder(tiny_llava, tmp_path_factory):
    """A checkpoint (read only)."""
    folder = tmp_path_factory.mktemp("run") / "model"
    shutil.copytree(tiny_llava, folder)
    return folder


@pytest.fixture(scope="module")
def keys(data, tiny_overrides):
    """Overrides of an evaluation on this data."""
    given = tiny_overrides(data / "pictures", "llava")
    return [*given, f"data.text_path={data / 'texts'}", "data.qa_per_person=2", *QUICK]


@pytest.fixture
def evaluate(keys, run_folder, script, tmp_path):
    """Evaluate a copy of the checkpoint under what is given; return the folder of the results."""
    model = tmp_path / "model"
    shutil.copytree(run_folder, model)
    return lambda *given: script("eval", *keys, f"model_path={model}", *given)


def records(out):
    return {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in out.glob("*.jsonl")}


def contents(out):
    return {path.name: path.read_bytes() for path in out.glob("*.jsonl")}


def manifest(out):
    return json.loads((out / "manifest.json").read_text())


def sides(cfg):
    return forget_and_retain(cfg.data, cfg.forget_split, cfg.retain_split, cfg.forget_modality, cfg.data.question_seed)


def trained_on(keys, *given):
    cfg = load("mm/eval", [*keys, "save_dir=out", *given], EvalConfig)
    return choose(cfg.stress.trained_on, *sides(cfg), cfg.stress.share, cfg.stress.seed)


def test_relearned_rows_are_not_evaluated_and_everything_else_is(evaluate, keys):
    plain = records(evaluate())
    out = evaluate("stress=relearn_forget", *LEARN)
    assert out.name == "eval_results_relearn_forget"
    found, shown = records(out), trained_on(keys, "stress=relearn_forget").rows
    assert len(shown) == 4
    for task, rows in plain.items():
        left = [row["uid"] for row in rows if task.startswith("retain") or row_of(row["uid"]) not in shown]
        assert [row["uid"] for row in found[task]] == left
        assert len(left) == (4 if task.startswith("retain") else len(rows) // 2)
    assert manifest(out)["tasks"]["forget_qa"]["expected"] == 2
    assert {key: manifest(out)["stress"][key] for key in ("name", "steps", "trained_on", "samples")} == {
        "name": "relearn_forget", "steps": 3, "trained_on": "samples", "samples": 4,
    }  # fmt: skip
    # It learned: what is evaluated is not what the checkpoint says.
    kept = {row["uid"]: row["answers"]["true"]["logp"] for row in plain["forget_captions"]}
    assert all(row["answers"]["true"]["logp"] != kept[row["uid"]] for row in found["forget_captions"])


def test_relearned_people_are_not_evaluated_in_any_task(evaluate, keys):
    out = evaluate("stress=relearn_people", *LEARN)
    (shown,) = {s.group for s in trained_on(keys, "stress=relearn_people").samples if s.image}
    for task in ("forget_captions", "forget_names"):
        assert {row["group"] for row in records(out)[task]} == {name for name in FORGOTTEN if name != shown}
    assert all(shown not in row["prompt"] for row in records(out)["forget_qa"])
    assert len(records(out)["forget_qa"]) == 2


def test_after_relearning_on_others_everything_is_evaluated(evaluate, keys):
    out = evaluate("stress=relearn_retain", *LEARN)
    assert {task: len(rows) for task, rows in records(out).items()} == dict.fromkeys(TASKS, 4)
    assert not {s.group for s in trained_on(keys, "stress=relearn_retain").samples} & set(FORGOTTEN)


def test_relearning_of_no_step_changes_nothing(evaluate):
    plain, out = evaluate(*SMALL), evaluate(*SMALL, "stress=relearn_forget", "stress.steps=0")
    known = {row["uid"]: row for rows in records(plain).values() for row in rows}
    for rows in records(out).values():
        # Neighbours in a batch move the last digits of float32.
        for row in rows:
            expected = known[row["uid"]]
            assert row["generated"] == expected["generated"]
            assert row["answers"]["true"]["logp"] == pytest.approx(expected["answers"]["true"]["logp"], abs=1e-5)


def test_only_the_results_are_written_into_the_model_s_folder(evaluate, run_folder, tmp_path):
    evaluate(*SMALL, "stress=relearn_forget", *LEARN)
    before = {path.name: path.read_bytes() for path in run_folder.iterdir()}
    now = {path.name: path for path in (tmp_path / "model").iterdir()}
    assert set(now) == {*before, "eval_results_relearn_forget"}
    assert all(now[name].read_bytes() == content for name, content in before.items())
    names = {path.name for path in now["eval_results_relearn_forget"].iterdir()}
    assert names == {"manifest.json", "eval_log_aggregated.json", "forget_names.jsonl", "retain_names.jsonl"}


@pytest.mark.parametrize("adapters", [(), ("stress.LoRA.r=2",)])
def test_relearning_is_adamw_on_the_language_model(adapters, keys, tiny_families):
    """Against a loop over single samples; the set has as many as a step, so that their order does not count."""
    double = "model_family.dtype=float64"
    cfg = load("mm/eval", [*keys, double, "save_dir=out", "stress=relearn_forget", *LEARN, *adapters], EvalConfig)
    family = dataclasses.replace(tiny_families["llava"], dtype=DType.float64)
    samples = choose(cfg.stress.trained_on, *sides(cfg), 0.5, 0).samples
    assert len(samples) == cfg.stress.batch_size
    encoder, start = load_encoder(family, None), load_model(family, None)
    found = cfg.stress.arrange(cfg).apply(load_model(family, None), encoder)
    assert not found.training
    assert all(parameter.requires_grad and parameter.dtype is torch.float64 for parameter in found.parameters())
    kept, ends = start.state_dict(), found.state_dict()
    moved = {name for name in kept if not torch.equal(kept[name], ends[name])}
    if adapters:
        assert {component_of(name).name for name in moved} == {"language_model"}
        assert all("proj" in name for name in moved)
        return
    expected = naive(start, [encoder.encode(sample, 256) for sample in samples], encoder.pad_id)
    assert {component_of(name).name for name in moved} == {"language_model", "lm_head"}
    for name, end in ends.items():
        torch.testing.assert_close(end, expected[name], atol=1e-9, rtol=0)


def naive(model, encoded, pad):
    """Three steps of AdamW on the mean cross-entropy of all answer tokens, gradients clipped to length 1."""
    collate = Collator(pad)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(component_of(name).name in ("language_model", "lm_head"))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.01)
    for _ in range(3):
        losses = [View(collate([one]), model).ce_tokens for one in encoded]
        (sum(loss.sum() for loss in losses) / sum(len(loss) for loss in losses)).backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return model.state_dict()


class PowerCutError(Exception):
    pass


def test_an_interrupted_relearning_is_repeated_and_ends_with_the_same_files(evaluate, monkeypatch):
    key = (*SMALL, "stress=relearn_forget", *LEARN)
    whole = contents(evaluate(*key))
    out, score, calls = evaluate(*key), runner.score_items, []
    shutil.rmtree(out)

    def scorer(*given):
        if len(calls) == 2:
            raise PowerCutError
        calls.append(1)
        return score(*given)

    with monkeypatch.context() as patch:
        patch.setattr(runner, "score_items", scorer)
        with pytest.raises(PowerCutError):
            evaluate(*key)
    assert (out / "parts").is_dir()
    with pytest.raises(UserError, match="holds an interrupted evaluation with another model, other data or settings"):
        evaluate(*key, "stress.seed=1")
    monkeypatch.setattr(runner, "score_items", lambda *given: calls.append(1) or score(*given))
    assert contents(evaluate(*key)) == whole
    # Two people's names in one batch, four of the others in two; two of the three batches before the cut.
    assert len(calls) == 3


def test_finished_results_are_kept_and_others_replaced_on_demand_alone(evaluate, monkeypatch):
    out = evaluate(*SMALL, "stress=int4")
    before = contents(out)
    with monkeypatch.context() as patch:
        patch.setattr(runner, "score_items", None)
        assert evaluate(*SMALL, "stress=int4") == out
    with pytest.raises(UserError, match="already holds results of another model, other data or settings"):
        evaluate(*SMALL, "stress=int8", f"save_dir={out}")
    assert contents(out) == before
    evaluate(*SMALL, "stress=int8", f"save_dir={out}", "overwrite_dir=true")
    assert manifest(out)["stress"] == {"name": "int8", "bits": 8, "arithmetic": "simulated"}
    assert contents(out) != before


def test_the_log_says_what_was_done(evaluate, caplog):
    with caplog.at_level(logging.INFO):
        evaluate(*SMALL, "stress=int8")
        evaluate(*SMALL, "stress=relearn_retain", *LEARN)
    assert "linear layers of the language model in 8 bits: simulated" in caplog.text
    assert "relearned in 3 steps on 6 samples: loss" in caplog.text


def test_stresses_and_their_settings_do_not_compare(evaluate):
    logs = [
        read_log(evaluate(*SMALL, *given) / "eval_log_aggregated.json")
        for given in ((), ("stress=int4",), ("stress=int8",), ("stress=int4", "stress.bits=8", "stress.name=other"))
    ]
    assert [log.manifest.stress and log.manifest.stress["name"] for log in logs] == [None, "int4", "int8", "other"]
    with pytest.raises(UserError, match="cannot be compared: stress is none and int4"):
        comparable(logs[:2])
    changed = dataclasses.replace(logs[1].manifest, stress={**logs[1].manifest.stress, "bits": 8})
    with pytest.raises(UserError, match="cannot be compared: bits of stress int4 is 4 and 8"):
        comparable([logs[1], dataclasses.replace(logs[1], manifest=changed)])
    assert len(comparable([logs[1], logs[1]])) == 2


def test_every_key_that_changes_what_is_learned_changes_the_results(keys):
    def facts(*given):
        cfg = load("mm/eval", [*keys, "save_dir=out", "stress=relearn_forget", *given], EvalConfig)
        return json.dumps(cfg.stress.arrange(cfg).stressed.facts)

    changes = ("steps=1", "lr=1e-2", "batch_size=8", "share=0.9", "seed=1", "LoRA.r=2", "trained_on=retain")
    found = {facts(f"stress.{change}") for change in changes}
    assert len(found | {facts()}) == len(changes) + 1
    assert facts("stress.gradient_accumulation_steps=2") == facts()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("stress.share=1",), "stress.share is 1.0; allowed is above 0 and below 1"),
        (("stress.steps=-1",), "stress.steps is -1; allowed is 0 or above"),
        (("stress.lr=0",), "stress.lr is 0.0; allowed is above 0"),
        (("stress.gradient_accumulation_steps=3",), "stress.batch_size is 16, which 3 micro-batches .* do not divide"),
        (("stress.LoRA.r=2", "stress.LoRA.load_in_4bit=true"), "adapters are merged into weights; set it to false"),
        (("stress.trained_on=some",), "some"),
        (("stress.step=3",), 'Unknown key "stress.step"'),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_read(given, message, evaluate, tmp_path):
    with pytest.raises(UserError, match=message):
        evaluate("stress=relearn_forget", *given)
    assert not list((tmp_path / "model").glob("eval_results*"))


def test_adapters_on_a_part_that_the_model_lacks_are_refused_before_anything_is_read():
    given = ("stress.LoRA.r=2", "stress.LoRA.components=[projector]")
    cfg = load("nlp/eval", ["save_dir=out", "stress=relearn_forget", *given], EvalConfig)
    with pytest.raises(UserError, match=r"stress=relearn_forget: LoRA.components has projector, which .* lacks"):
        cfg.stress.arrange(cfg)


@pytest.mark.parametrize(
    ("variable", "engine"), [("ACCELERATE_USE_FSDP", "FSDP"), ("ACCELERATE_USE_DEEPSPEED", "DeepSpeed")]
)
def test_engines_that_divide_the_weights_are_refused(variable, engine, keys, monkeypatch):
    cfg = load("mm/eval", [*keys, "save_dir=out", "stress=relearn_forget"], EvalConfig)
    monkeypatch.setenv(variable, "true")
    with pytest.raises(UserError, match=f"each process evaluates the whole model, which {engine} would divide"):
        cfg.stress.arrange(cfg)


def test_texts_are_relearned_and_rounded_alike(script, write_data, tmp_path):
    """Through nlp/eval.py: a dataset of texts alone, whose people have no names."""
    write, _ = write_data
    splits = {"full": PEOPLE, "forget10": FORGOTTEN, "retain90": PEOPLE[2:]}
    plain = {split: questions(people) for split, people in splits.items()}
    plain["forget10_perturbed"] = other_answers(questions(FORGOTTEN))
    plain["retain_perturbed"] = other_answers(questions(PEOPLE[2:]))
    write(tmp_path / "data" / "texts", plain)
    tasks = "tasks=[forget_qa,retain_qa]"

    def evaluate(name, *given):
        place = (f"save_dir={tmp_path / name}", "data.qa_per_person=2", tasks, "max_length=256")
        return records(script("eval", *place, f"stress={name}", *given, family="llama", data=tmp_path / "data"))

    whole = {row["uid"] for row in evaluate("none")["forget_qa"]}
    left = {name: {row["uid"] for row in evaluate(name, *LEARN)["forget_qa"]} for name in RELEARNED}
    assert {name: len(uids) for name, uids in left.items()} == RELEARNED
    assert all(uids <= whole for uids in left.values())
    people = evaluate("relearn_people", *LEARN)["forget_qa"]
    assert len({row["group"] for row in people}) == 1
    assert {row["uid"] for row in evaluate("int4")["forget_qa"]} == whole


def test_two_processes_learn_and_write_what_one_does(evaluate, keys, run_folder, tmp_path):
    """In float64, where sums of gradients in another order do not show in what is written."""
    given = (*SMALL, "stress=relearn_forget", *LEARN, "model_family.dtype=float64")
    one = records(evaluate(*given))
    out = tmp_path / "two"
    place = (f"model_path={run_folder}", f"save_dir={out}")
    launch("--config_file", ACCELERATE / "ddp.yaml", PROJECT / "mm" / "eval.py", *keys, *place, *given)
    two = records(out)
    for task, rows in one.items():
        for row, other in zip(rows, two[task], strict=True):
            assert (row["uid"], row["generated"]) == (other["uid"], other["generated"])
            for answer, same in zip(row["answers"]["wrong"], other["answers"]["wrong"], strict=True):
                assert answer["logp"] == pytest.approx(same["logp"], abs=1e-6)
    assert manifest(out)["fingerprint"] == manifest(tmp_path / "model" / "eval_results_relearn_forget")["fingerprint"]


@pytest.fixture
def of_any_precision():
    """Accelerate keeps the precision of a process's first run: not here, and not for the tests after."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


@pytest.mark.usefixtures("of_any_precision")
def test_after_relearning_the_forward_is_no_longer_one_of_training(keys, tiny_families):
    """Of a bfloat16 model training runs under autocast, and evaluation in bfloat16."""
    family = dataclasses.replace(tiny_families["llava"], dtype=DType.bfloat16)
    half = "model_family.dtype=bfloat16"
    cfg = load("mm/eval", [*keys, half, "save_dir=out", "stress=relearn_forget", *LEARN], EvalConfig)
    found = cfg.stress.arrange(cfg).apply(load_model(family, None), load_encoder(family, None))
    assert found(input_ids=torch.tensor([[1, 2]])).logits.dtype is torch.bfloat16

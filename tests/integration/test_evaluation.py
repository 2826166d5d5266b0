"""Whole evaluations of the tiny models: result files, two processes, interruptions, results already there, bad data."""

import dataclasses
import io
import json
import random
import shutil
from pathlib import Path

import pytest
import torch
from launching import ON_CPU, launch

from unlearn.config.schema import Data, DType, Metrics, Modality
from unlearn.errors import UserError
from unlearn.evaluation import runner
from unlearn.evaluation.plan import Settings, of_rows, plan_evaluation
from unlearn.evaluation.tasks import load_tasks
from unlearn.experiment.base import ACCELERATE
from unlearn.metrics.comparison import comparable
from unlearn.metrics.logs import read_log
from unlearn.metrics.manifest import FORMAT
from unlearn.models.loading import load_encoder, load_model

TASKS = ("forget_captions", "retain_names", "forget_qa", "real_faces", "real_world", "holdout_captions")
SIZES = {
    "forget_captions": 7, "retain_names": 5, "forget_qa": 6, "real_faces": 5, "real_world": 3, "holdout_captions": 2,
}  # fmt: skip
ATTACKED = ("forget_captions", "holdout_captions")

TWO_PROCESSES = """
import json, os, sys
from pathlib import Path
import torch
from unlearn.config.schema import Data, DType, Modality, ModelFamily
from unlearn.evaluation.plan import Settings, plan_evaluation
from unlearn.evaluation.runner import evaluate
from unlearn.evaluation.tasks import load_tasks
from unlearn.models.loading import load_encoder, load_model
from unlearn.processes import process_state

given = json.loads(Path(sys.argv[1]).read_text())
state = process_state()
Path(sys.argv[1]).with_name(f"rank{state.process_index}").write_text(str(state.num_processes))
torch.set_num_threads(1)
family = ModelFamily(
    name=given["family"], hub_id=given["model"], answer_prefix=given["answer_prefix"], dtype=DType.float32,
)
settings = Settings(
    tasks=load_tasks(given["tasks"]), data=Data(**given["data"]), model_family=family, model_path=given["model"],
    forget_split="forget10", retain_split="retain90", forget_modality=Modality.both, seed=0, batch_size=3,
    max_length=256, gradient_norm=True,
)
plan = plan_evaluation(settings, Path(given["out"]))
evaluate(load_model(family, given["model"]), load_encoder(family, given["model"]), plan)
"""


BREAK_ONE = """
from unlearn.errors import UserError
from unlearn.evaluation import runner

def fail(*_):
    raise UserError("item broken")

if state.process_index == 1:
    runner.score_items = fail

def told(*given):
    try:
        evaluate(*given)
    except UserError as error:
        Path(sys.argv[1]).with_name(f"told{state.process_index}").write_text(str(error))

"""


def picture(seed):
    from PIL import Image

    file = io.BytesIO()
    Image.frombytes("RGB", (16, 16), random.Random(seed).randbytes(16 * 16 * 3)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def caption_rows(count, first):
    return [
        {
            "image": picture(first + i),
            "caption": f"Person {first + i} " + "smiles and " * (i % 3) + "waves.",
            "name": f"Person {(first + i) // 2}",
            "paraphrased_caption": f"A wave by person {first + i}.",
            "perturbed_captions": ["Nobody frowns.", "Somebody sleeps on a bench."][: 1 + i % 2],
            "perturbed_names": ["Bo", "Cy Dee", "Di"][: 1 + i % 3],
        }
        for i in range(count)
    ]


def qa_rows(count, first):
    return [
        {
            "question": f"What did author {first + i} write?",
            "answer": f"A book of {i} pages" + " and more" * (i % 3),
            "paraphrased_answer": f"{i} pages",
            "perturbed_answer": ["A song", "A long play", "Nothing"],
        }
        for i in range(count)
    ]


def write_set(folder, configs):
    """A dataset folder as `datasets` reads it: one parquet file per config, listed in README.md."""
    from datasets import Dataset, Image

    lines = ["---", "configs:"]
    for name, rows in configs.items():
        dataset = Dataset.from_list(rows)
        if "image" in dataset.column_names:
            dataset = dataset.cast_column("image", Image(decode=False)).cast_column("image", Image())
        (folder / name).mkdir(parents=True)
        dataset.to_parquet(folder / name / "train.parquet")
        lines += [f"- config_name: {name}", "  data_files:", "  - split: train", f"    path: {name}/train.parquet"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    faces = [
        {"image": picture(100 + i), "answer": f"Star {i // 2}", "options": ["Bo", "Cy"][: 1 + i % 2]} for i in range(5)
    ]
    world = [{**face, "question": f"What is in picture {i}?"} for i, face in enumerate(faces[:3])]
    write_set(
        root / "pictures",
        {
            "forget10_perturbed": caption_rows(7, 0),
            "holdout10": [{key: row[key] for key in ("image", "caption", "name")} for row in caption_rows(2, 40)],
            "retain_perturbed": caption_rows(5, 20),
            "real_faces": faces,
            "real_world": world,
        },
    )
    write_set(root / "texts", {"forget10_perturbed": qa_rows(6, 0), "retain_perturbed": qa_rows(4, 10)})
    return Data(name="sets", path=str(root / "pictures"), text_path=str(root / "texts"), qa_per_person=2)


@pytest.fixture(scope="module")
def model_path(tiny_families, tmp_path_factory):
    """Folder of a tiny LLaVA with weights large enough that answers differ."""
    folder = tmp_path_factory.mktemp("sharp") / "llava"
    shutil.copytree(tiny_families["llava"].hub_id, folder)
    model = load_model(tiny_families["llava"], None)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.3, generator=generator)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def base(data, model_path, tiny_families):
    return Settings(
        tasks=load_tasks(TASKS), data=data, model_family=tiny_families["llava"], model_path=str(model_path),
        forget_split="forget10", retain_split="retain90", forget_modality=Modality.both, seed=0, batch_size=3,
        max_length=256,
    )  # fmt: skip


@pytest.fixture
def make(base, tmp_path):
    """Return a function: changed settings -> (settings, folder for the results)."""
    return lambda **changes: (dataclasses.replace(base, **changes), tmp_path / "out")


def run(settings, out, overwrite=False):
    family = settings.model_family
    plan = plan_evaluation(settings, out, overwrite)
    model, encoder = load_model(family, settings.model_path), load_encoder(family, settings.model_path)
    return runner.evaluate(model, encoder, plan)


def contents(out):
    """Everything in a results folder that must not depend on how it was computed."""
    files = {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}
    manifest = json.loads(files.pop("manifest.json"))
    manifest["cost"] = {"forwards": manifest["cost"]["forwards"]}
    return files, manifest


class PowerCutError(Exception):
    pass


def interrupt_after(monkeypatch, batches):
    """Let the scorer fail after this many batches; return the list that counts calls."""
    calls, score = [], runner.score_items

    def scorer(*args):
        if len(calls) == batches:
            raise PowerCutError
        calls.append(1)
        return score(*args)

    monkeypatch.setattr(runner, "score_items", scorer)
    return calls


@pytest.fixture(scope="module")
def reference(base, tmp_path_factory):
    """Files, manifest and folder of one uninterrupted process."""
    out = tmp_path_factory.mktemp("reference") / "out"
    run(dataclasses.replace(base, gradient_norm=True), out)
    return *contents(out), out


def test_the_rows_of_a_task_have_a_fingerprint_that_wordings_do_not_change(make):
    settings, out = make()
    captions = next(task for task in settings.tasks if task.name == "forget_captions")
    found = {}
    for change, changed in {"none": {}, "seed": {"seed": 1}}.items():
        plan = plan_evaluation(dataclasses.replace(settings, **changed), out / change)
        told = of_rows(captions, settings.data, "forget10", plan.items["forget_captions"])
        found[change] = told["fingerprint"], plan.task_fingerprints["forget_captions"]
    assert found["none"][0] == found["seed"][0]
    assert found["none"][1] != found["seed"][1]
    assert (told["path"], told["config"]) == (settings.data.path, "forget10_perturbed")
    fewer = of_rows(captions, settings.data, "forget10", plan.items["forget_captions"][1:])
    assert fewer["fingerprint"] != told["fingerprint"]


def test_result_files(reference, model_path):
    files, manifest, out = reference
    assert set(files) == {f"{task}.jsonl" for task in TASKS} | {"eval_log_aggregated.json"}
    assert (manifest["format"], manifest["metrics"]) == (FORMAT, "correct")
    (link,) = manifest["provenance"]["lineage"]
    assert (link["path"], link["run"]) == (str(model_path), None)
    assert (manifest["forget_split"], manifest["retain_split"], manifest["forget_modality"]) == (
        "forget10",
        "retain90",
        "both",
    )
    for task, size in SIZES.items():
        assert (manifest["tasks"][task]["expected"], manifest["tasks"][task]["scored"]) == (size, size)
        records = [json.loads(line) for line in files[f"{task}.jsonl"].decode().splitlines()]
        assert [r["uid"] for r in records] == sorted({r["uid"] for r in records})
        assert len(records) == size
        for record in records:
            more = {"gradient_norm"} if task in ATTACKED else set()
            assert set(record) == {"uid", "group", "prompt_hash", "answers", "prompt", "generated", *more}
            assert set(record["answers"]) == {"true", "paraphrase", "wrong"}
            for answer in [record["answers"]["true"], *record["answers"]["wrong"]]:
                assert set(answer) == {"text", "logp", "mu", "sigma", "hit"}
                assert len({len(answer[key]) for key in ("logp", "mu", "sigma", "hit")}) == 1
    cost = json.loads((out / "manifest.json").read_text())["cost"]
    # ceil(n / 3) batches a task, at least one scoring forward and one generation step each.
    assert cost["forwards"] >= 2 * sum(-(-size // 3) for size in SIZES.values())
    assert cost["wall_seconds"] > 0
    assert cost["peak_memory_bytes"] > 0


def test_aggregation_reads_what_was_written(reference):
    log = read_log(reference[2] / "eval_log_aggregated.json")
    assert {name: len(task.items) for name, task in log.tasks.items()} == SIZES
    assert not log.foreign
    assert log.manifest.tasks["real_faces"].choice
    records = [json.loads(line) for line in reference[0]["real_faces.jsonl"].decode().splitlines()]
    expected = [-sum(r["answers"]["true"]["logp"]) / len(r["answers"]["true"]["logp"]) for r in records]
    assert log.tasks["real_faces"].loss.tolist() == pytest.approx(expected)
    assert {len(w) for w in log.tasks["real_faces"].wrong_losses} == {1, 2}


def test_under_released_every_item_is_also_answered_blind(make, reference):
    settings, out = make(metrics=Metrics.released, gradient_norm=True)
    run(settings, out)
    files, manifest = contents(out)
    assert manifest["metrics"] == "released"
    for task in TASKS:
        records, seen = ([json.loads(line) for line in f[f"{task}.jsonl"].splitlines()] for f in (files, reference[0]))
        blind = [record.pop("generated_blind") for record in records]
        assert records == seen
        assert (blind == [r["generated"] for r in records]) == (task == "forget_qa")
    both = [read_log(folder / "eval_log_aggregated.json") for folder in (out, reference[2])]
    assert both[1].tasks["real_faces"].blind_rouge is None
    assert len(both[0].tasks["real_faces"].blind_rouge) == SIZES["real_faces"]
    with pytest.raises(UserError, match="metrics is released and correct"):
        comparable(both)


def launch_two(settings, out, folder, code, config="ddp", variables=ON_CPU):
    """Run `code` in two processes, as a file of config/accelerate launches them, in `folder`."""
    given = {
        "family": settings.model_family.name, "model": settings.model_path, "tasks": TASKS, "out": str(out),
        "answer_prefix": settings.model_family.answer_prefix,
        "data": dataclasses.asdict(settings.data),
    }  # fmt: skip
    (folder / "given.json").write_text(json.dumps(given))
    (folder / "run.py").write_text(code)
    file = ACCELERATE / f"{config}.yaml"
    launch("--config_file", file, folder / "run.py", folder / "given.json", environment=variables)
    assert [(folder / f"rank{r}").read_text() for r in range(2)] == ["2", "2"]


@pytest.mark.parametrize(("config", "variables"), [("ddp", ON_CPU), ("zero3", {})])
def test_two_processes_write_the_files_of_one(config, variables, make, reference, tmp_path):
    settings, out = make(gradient_norm=True)
    launch_two(settings, out, tmp_path, TWO_PROCESSES, config, variables)
    files, manifest = contents(out)
    expected_files, expected_manifest, _ = reference
    assert files == expected_files
    assert manifest == expected_manifest


def test_an_error_in_one_process_ends_both(make, tmp_path):
    """The other would wait for ever where their results are put together."""
    settings, out = make()
    broken = TWO_PROCESSES.replace("plan = plan_evaluation", BREAK_ONE + "plan = plan_evaluation")
    launch_two(settings, out, tmp_path, broken.replace("evaluate(load", "told(load"))
    assert [(tmp_path / f"told{r}").read_text() for r in range(2)] == ["item broken"] * 2
    assert not (out / "manifest.json").exists()


@pytest.mark.parametrize("batches", [0, 1, 5])
def test_an_interrupted_evaluation_resumes_to_the_same_files(make, reference, monkeypatch, batches):
    settings, out = make(gradient_norm=True)
    total = len(plan_evaluation(settings, out).batches)
    with monkeypatch.context() as patch:
        interrupt_after(patch, batches)
        with pytest.raises(PowerCutError):
            run(settings, out)
    assert not (out / "manifest.json").exists()
    calls = interrupt_after(monkeypatch, total)
    run(settings, out)
    assert len(calls) == total - batches
    assert contents(out) == reference[:2]


def test_a_cut_off_part_file_costs_its_last_batch_alone(make, reference, monkeypatch):
    settings, out = make(gradient_norm=True)
    total = len(plan_evaluation(settings, out).batches)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 4)
        with pytest.raises(PowerCutError):
            run(settings, out)
    part = out / "parts" / "rank0.jsonl"
    part.write_text(part.read_text()[:-30])
    calls = interrupt_after(monkeypatch, total)
    run(settings, out)
    assert len(calls) == total - 3
    assert contents(out) == reference[:2]


def test_finished_results_are_not_computed_again(make, monkeypatch):
    settings, out = make(tasks=load_tasks(["real_world"]))
    first = run(settings, out)
    before = contents(out)
    calls = interrupt_after(monkeypatch, 99)
    assert plan_evaluation(settings, out).finished() == first
    assert run(settings, out) == first
    assert calls == []
    assert contents(out) == before


def test_results_that_lost_a_file_are_not_finished(make):
    settings, out = make(tasks=load_tasks(["real_world", "real_faces"]))
    run(settings, out)
    before = contents(out)
    lines = (out / "real_faces.jsonl").read_text().splitlines(keepends=True)
    (out / "real_faces.jsonl").write_text("".join(lines[:-1]))
    assert plan_evaluation(settings, out).finished() is None
    run(settings, out)
    assert contents(out) == before


def test_other_results_are_refused_or_replaced_whole(make):
    settings, out = make(tasks=load_tasks(["real_world", "real_faces"]))
    run(settings, out)
    before = contents(out)
    other = dataclasses.replace(settings, seed=1, tasks=load_tasks(["real_world"]))
    with pytest.raises(
        UserError, match=r"already holds results of another model, other data or settings .*overwrite_dir=true"
    ):
        plan_evaluation(other, out)
    assert contents(out) == before
    run(other, out, overwrite=True)
    files, manifest = contents(out)
    assert set(files) == {"real_world.jsonl", "eval_log_aggregated.json"}
    assert manifest["seed"] == 1


def test_an_interrupted_evaluation_with_other_settings_is_refused_or_discarded(make, monkeypatch):
    settings, out = make(tasks=load_tasks(["real_world", "real_faces"]))
    with monkeypatch.context() as patch:
        interrupt_after(patch, 1)
        with pytest.raises(PowerCutError):
            run(settings, out)
    other = dataclasses.replace(settings, seed=1)
    with pytest.raises(UserError, match="holds an interrupted evaluation"):
        plan_evaluation(other, out)
    run(other, out, overwrite=True)
    assert contents(out)[1]["seed"] == 1
    assert not (out / "parts").exists()


def test_every_setting_that_changes_results_changes_the_fingerprint(make, model_path, tmp_path):
    settings, out = make(tasks=load_tasks(["real_world"]))
    base = plan_evaluation(settings, out).fingerprint
    retrained = tmp_path / "retrained"
    shutil.copytree(model_path, retrained)
    assert plan_evaluation(dataclasses.replace(settings, model_path=str(retrained)), out).fingerprint == base
    weights = retrained / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    family = dataclasses.replace(settings.model_family, dtype=DType.float64)
    changes = [
        {"seed": 1}, {"batch_size": 2}, {"max_length": 200}, {"forget_split": "forget05"},
        {"forget_modality": Modality.image},
        {"metrics": Metrics.released}, {"tasks": load_tasks(["real_faces"])}, {"model_path": str(retrained)},
        {"model_family": family},
    ]  # fmt: skip
    prints = {plan_evaluation(dataclasses.replace(settings, **change), out).fingerprint for change in changes}
    assert len(prints | {base}) == len(changes) + 1


def test_norms_of_gradients_are_asked_for_where_an_attack_reads_them(make):
    settings, out = make(gradient_norm=True)
    alone = dataclasses.replace(settings, gradient_norm=False)
    assert plan_evaluation(settings, out).fingerprint != plan_evaluation(alone, out).fingerprint
    assert (settings.with_gradient(), alone.with_gradient()) == (set(ATTACKED), set())
    # With texts to be forgotten captions stay: there is nobody to be told from holdout people.
    for change in ({"tasks": load_tasks(TASKS[:-1])}, {"forget_modality": Modality.text}):
        with pytest.raises(UserError, match="gradient_norm is true, but no task of people to be forgotten"):
            plan_evaluation(dataclasses.replace(settings, **change), out)
    assert not out.exists()


def test_results_go_beside_the_model_unless_told_otherwise(make):
    settings, _ = make()
    assert plan_evaluation(settings).out == Path(settings.model_path) / "eval_results"
    with pytest.raises(UserError, match="save_dir is null for the pretrained tiny_llava"):
        plan_evaluation(dataclasses.replace(settings, model_path=None))


def test_an_absent_checkpoint_is_refused_before_anything_is_written(make, tmp_path):
    settings, out = make(model_path=str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"nowhere.* does not exist"):
        plan_evaluation(settings, out)
    assert not out.exists()
    assert not (tmp_path / "nowhere").exists()


def test_an_item_that_does_not_fit_is_refused_and_not_cut(make):
    settings, out = make(max_length=40)
    with pytest.raises(UserError, match="max_length"):
        run(settings, out)
    assert not (out / "manifest.json").exists()


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (caption_rows(2, 0), {"forget_split": "forget07"}, r"forget07_perturbed.*forget10_perturbed"),
        ([{k: v for k, v in r.items() if k != "name"} for r in caption_rows(2, 0)], {}, r"name"),
        ([{**r, "image": {"bytes": b"no image", "path": None}} for r in caption_rows(2, 0)], {}, "does not decode"),
        ([{**r, "perturbed_captions": [None]} for r in caption_rows(2, 0)], {}, "has no wrong answer"),
    ],
    ids=["unknown config", "missing column", "broken image", "no wrong answer"],
)
def test_bad_data_is_refused_before_anything_is_written(make, data, tmp_path, rows, changes, message):
    write_set(tmp_path / "bad", {"forget10_perturbed": rows})
    bad = dataclasses.replace(data, path=str(tmp_path / "bad"))
    settings, out = make(tasks=load_tasks(["forget_captions"]), data=bad, **changes)
    with pytest.raises(UserError, match=message):
        plan_evaluation(settings, out)
    assert not out.exists()


def test_an_empty_set_is_refused(make, data, tmp_path):
    from datasets import Dataset

    full = caption_rows(1, 0)
    write_set(tmp_path / "empty", {"forget10_perturbed": full})
    path = tmp_path / "empty" / "forget10_perturbed" / "train.parquet"
    Dataset.from_parquet(str(path)).select([]).to_parquet(path)
    bad = dataclasses.replace(data, path=str(tmp_path / "empty"))
    settings, out = make(tasks=load_tasks(["forget_captions"]), data=bad)
    with pytest.raises(UserError, match=r"forget10_perturbed"):
        plan_evaluation(settings, out)
    assert not out.exists()

"""Whole experiments of tiny models through Snakemake: what stands at the end, and what a second start does again."""

import csv
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
FORGOTTEN, KEPT = ("Ada", "Bo", "Cy"), ("Di", "Ed", "Flo", "Gus", "Hal")
"""Three people can be divided into halves that select and report. Two pictures and one question each."""
TASKS = "tasks=[forget_captions,retain_captions,real_world]"
STAGES = {"base", "gold_seed0", "eval_references", "forget", "eval_methods", "report"}


def noise_png(seed):
    import random

    from PIL import Image

    file = io.BytesIO()
    Image.frombytes("RGB", (16, 16), random.Random(seed).randbytes(16 * 16 * 3)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def captions(people):
    return [
        {"image": noise_png(f"{name}{verb}"), "caption": f"{name} {verb}.", "name": name}
        for name in people
        for verb in ("waves", "reads a book")
    ]


def mixed(people):
    pictures = [{**row, "question": None, "answer": None} for row in captions(people)]
    asked = [{"image": None, "caption": None, "question": f"Where is {p}?", "answer": f"In {p}town."} for p in people]
    return [{key: row[key] for key in ("image", "caption", "question", "answer")} for row in pictures + asked]


def judged(people):
    wrong = {"perturbed_captions": ["Nobody waves.", "A bench."], "perturbed_names": ["Zoe", "Yan"]}
    return [{**row, "paraphrased_caption": f"So: {row['caption']}", **wrong} for row in captions(people)]


def world():
    return [
        {"image": noise_png(thing), "question": "What is it?", "answer": thing, "options": ["A cloud", "A sea"]}
        for thing in ("A tower", "A bridge", "A hill", "A road", "A lake", "A tree")
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folder of a data set in CLEAR's shape, with sets to be judged on."""
    from datasets import Dataset, Image

    folder = tmp_path_factory.mktemp("experiment") / "data"
    sides = {"full": FORGOTTEN + KEPT, "forget10": FORGOTTEN, "retain90": KEPT}
    sets = {name: captions(people) for name, people in sides.items()}
    sets |= {f"{name}+tofu": mixed(people) for name, people in sides.items()}
    sets |= {"forget10_perturbed": judged(FORGOTTEN), "retain_perturbed": judged(KEPT), "real_world": world()}
    for name, rows in sets.items():
        Dataset.from_list(rows).cast_column("image", Image()).save_to_disk(folder / name)
    return folder


@pytest.fixture(scope="module")
def command(data, tiny_overrides):
    """The command line of an experiment with tiny models, whose root lies where it is run."""
    # The plan sets model_path; the family's own answer_prefix stands in quotes, which do not nest here.
    left_out = ("model_path", "model_family.answer_prefix")
    given = [text for text in tiny_overrides(data, "llava") if not text.startswith(left_out)]
    common = ",".join(f"'{text}'" for text in [*given, "max_length=256"])

    def line(*overrides):
        snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "Snakefile"), "--cores", "2"]
        # Snakemake drops quotes at the ends of a value.
        text = shlex.join(["root=tiny", f"overrides=[{common}]", *overrides, "threads=1"])
        return [*snakemake, "--config", "experiment=demo", f"overrides={text}"]

    return line


def start(line, folder, **options):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        line, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options
    )


def run(line, folder):
    process = start(line, folder)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return folder / "tiny"


def markers(root):
    return {path.parent.parent.name: (path, path.stat().st_mtime_ns) for path in root.glob("stages/*/*/done.json")}


def rows(root):
    return list(csv.DictReader((root / "table.csv").open()))


def test_an_experiment_ends_with_its_table_and_repeats_nothing(command, tmp_path):
    given = ("finetune=['num_epochs=1']", "forget=['num_epochs=1','batch_size=2']", f"eval=['{TASKS}']")
    root = run(command(*given), tmp_path)
    assert "D Forget" in (root / "summary.md").read_text()
    assert [row["Method"] for row in rows(root)] == ["pretrained", "base", "gold", "grad_ascent", "npo"]
    assert [row["Train Forwards"] != "" for row in rows(root)] == [False, True, True, True, True]
    assert rows(root)[2]["KS Test Forget Captions"] == "0.0"
    first = markers(root)
    assert set(first) == STAGES

    # As after a kill at the end of an evaluation: its marker and the one that waits for it are not there.
    for name in ("eval_methods", "report"):
        first[name][0].unlink()
    run(command(*given), tmp_path)
    second = markers(root)
    assert {name for name in STAGES if first[name] != second[name]} == {"eval_methods", "report"}
    assert (root / "logs" / "eval_methods.log").read_text().count("already holds these results") == 2

    run(command(*given, "submitted_by=me"), tmp_path)
    assert {name for name in STAGES if second[name] != markers(root)[name]} == {"report"}
    assert "me" in (root / "table.csv").read_text()


LONG = (
    "finetune=['num_epochs=20','batch_size=4','save_state_every=10']",
    "forget=['batch_size=2','save_state_every=10']",
    "sweep={lr:[1e-3,1e30],num_epochs:[8,24]}",
    f"eval=['{TASKS}','batch_size=2']",
)
"""Two of the four trials of every method stop at a loss that is not finite: no weight survives such a step."""


def kill_when(process, reached):
    """Kill the process and all that it started, by its group, as soon as `reached` says so."""
    while not reached():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def lines(path):
    return path.read_text().count("\n") if path.exists() else 0


def finished(root):
    """Return when every run and evaluation that ended did so."""
    files = [*root.glob("**/done.json"), *root.glob("**/stopped.json"), *root.glob("**/eval_results/manifest.json")]
    return {path: path.stat().st_mtime_ns for path in files if path.relative_to(root).parts[0] != "stages"}


def without_costs(root):
    """Set the seconds and the memory of every run and evaluation to 1, and let the report alone be made again."""
    for path in finished(root):
        content = json.loads(path.read_text())
        if "cost" in content:
            content["cost"] |= {"wall_seconds": 1, "peak_memory_bytes": 1}
            path.write_text(json.dumps(content))
    next(root.glob("stages/report/*/done.json")).unlink()


def reported(root):
    """Return the bytes of all files that the report and the choice write."""
    places = ("*.*", "figures/*", "sweep/*.*")
    return {path.relative_to(root): path.read_bytes() for place in places for path in root.glob(place)}


def check_choice(root):
    """Check a finished sweep of LONG: trials without score, the chosen ones in the table."""
    tried = list(csv.DictReader((root / "sweep" / "trials.csv").open()))
    assert [(t["method"], t["lr"], t["D Max"] != "") for t in tried] == [
        (method, rate, rate == "0.001")
        for method in ("grad_ascent", "npo")
        for rate in ("0.001", "0.001", "1e+30", "1e+30")
    ]
    assert [row["Method"] for row in rows(root)] == ["pretrained", "base", "gold", "grad_ascent", "npo"]


@pytest.mark.slow
def test_an_experiment_that_is_killed_three_times_ends_like_a_whole_one(command, tmp_path):
    line, (whole, cut) = command(*LONG), (tmp_path / "whole", tmp_path / "cut")
    for folder in (whole, cut):
        folder.mkdir()
    check_choice(run(line, whole))
    root, ended = cut / "tiny", []
    trial = root / "sweep" / "npo" / "lr0.001_epochs24"
    points = {
        root / "full": lambda: lines(root / "full" / "log.jsonl") > 25,
        trial: lambda: lines(trial / "log.jsonl") > 25,
        trial / "eval_results": lambda: any(map(lines, (trial / "eval_results" / "parts").glob("rank0.jsonl"))),
    }
    for folder, reached in points.items():
        kill_when(start(line, cut, start_new_session=True), reached)
        assert folder not in [path.parent for path in finished(root)], f"{folder} ended before the kill"
        ended.append(finished(root))
    run(line, cut)

    last = finished(root)
    assert all(before.items() <= last.items() for before in ended)
    assert [len(before) for before in ended] == sorted({len(before) for before in ended})
    for run_folder in (root / "full", trial):
        assert json.loads((run_folder / "done.json").read_text())["cost"]["resumed_at"] >= 20
    for folder in (whole, cut):
        without_costs(folder / "tiny")
        run(line, folder)
    assert sorted(reported(whole / "tiny")) == sorted(reported(root))
    assert [name for name, content in reported(whole / "tiny").items() if reported(root)[name] != content] == []


PROBED = (
    "tasks=[forget_captions,forget_captions_blank_picture,forget_captions_other_picture,retain_captions,real_world]"
)


@pytest.mark.slow
def test_several_forget_modalities_end_with_a_report_each_and_the_matrix(command, tmp_path):
    """Golds, methods and judgements of each, from one base; of three forgotten people there is no interval."""
    modalities = ("forget_modalities=[image,both]", "~methods.npo")
    root = run(command(*modalities, "finetune=['num_epochs=1']", f"eval=['{PROBED}']"), tmp_path)
    matrix = list(csv.DictReader((root / "leakage.csv").open()))
    ways = ["Forget Captions", "Forget Captions, blank picture", "Forget Captions, other's picture"]
    assert {(row["Forgotten"], row["Method"], row["Probe"]) for row in matrix} == {
        (modality, model, way) for modality in ("image", "both") for model in ("base", "grad_ascent") for way in ways
    }
    assert {row["Leak"] for row in matrix} == {"n/a"}
    assert sum(name.endswith("base") for name in markers(root)) == 1
    for modality in ("image", "both"):
        assert [row["Method"] for row in rows(root / modality)] == ["pretrained", "base", "gold", "grad_ascent"]
        assert (root / modality / "probes.csv").is_file()
    assert "Leakage matrix" in (root / "leakage.html").read_text()

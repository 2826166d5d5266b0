"""A whole experiment of tiny models through Snakemake: the table at the end, and what a second start does again."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
TASKS = "tasks=[forget_captions,retain_captions,retain_names,forget_qa]"
STAGES = {"base", "gold_seed0", "eval_references", "forget", "eval_methods", "report"}


def judged_caption(row):
    wrong = {"perturbed_captions": ["Nobody waves.", "A bench."], "perturbed_names": ["Zoe", "Yan"]}
    return {**row, "paraphrased_caption": f"So: {row['caption']}", **wrong}


def judged_answer(row):
    asked = {key: row[key] for key in ("question", "answer")}
    return {**asked, "paraphrased_answer": f"So: {row['answer']}", "perturbed_answer": ["In no town."]}


@pytest.fixture(scope="module")
def data(tmp_path_factory, write_data):
    """Folders of pictures and of texts: the tiny people with sets to be judged on."""
    from datasets import Dataset, Image

    pictures, texts = (tmp_path_factory.mktemp("experiment") / kind for kind in ("pictures", "texts"))
    write, configs = write_data
    write(pictures)
    for name, split in (("forget10_perturbed", "forget10"), ("retain_perturbed", "retain90")):
        shown = Dataset.from_list([judged_caption(row) for row in configs()[split]])
        shown.cast_column("image", Image()).save_to_disk(pictures / name)
        asked = [row for row in configs()[f"{split}+tofu"] if row["question"] is not None]
        Dataset.from_list([judged_answer(row) for row in asked]).save_to_disk(texts / name)
    return pictures, texts


@pytest.fixture(scope="module")
def start(data, tiny_overrides, tmp_path_factory):
    """Start Snakemake on the experiment; return the root and the finished process."""
    root = tmp_path_factory.mktemp("runs") / "tiny"
    given = [text for text in tiny_overrides(data[0], "llava") if not text.startswith(("model_path", "data.text_path"))]
    given += [f"data.text_path={data[1]}", "data.rehearsal=null", "max_length=256"]
    common = ",".join(f"'{text}'" for text in given)
    more = f"finetune=['num_epochs=1'] forget=['num_epochs=1','batch_size=2'] eval=['{TASKS}']"

    def run(extra=""):
        overrides = f"root={root} overrides=[{common}] {more} {extra}"
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "Snakefile"), "--cores", "2"]
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        return root, subprocess.run(
            [*command, "--config", "experiment=demo", f"overrides={overrides}"],
            cwd=root.parent, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def markers(root):
    return {path.parent.parent.name: (path, path.stat().st_mtime_ns) for path in root.glob("stages/*/*/done.json")}


def test_an_experiment_ends_with_its_table_and_repeats_nothing(start):
    root, process = start()
    assert process.returncode == 0, process.stdout + process.stderr
    assert "Forget Quality" in (root / "summary.md").read_text()
    rows = list(csv.DictReader((root / "table.csv").open()))
    assert [row["Method"] for row in rows] == ["pretrained", "base", "gold", "grad_ascent", "npo"]
    assert [row["Train Forwards"] != "" for row in rows] == [False, True, True, True, True]
    assert rows[2]["KS Test Forget Captions"] == "0.0"
    first = markers(root)
    assert set(first) == STAGES

    # As after a kill at the end of an evaluation: its marker and the one that waits for it are not there.
    for name in ("eval_methods", "report"):
        first[name][0].unlink()
    root, process = start()
    assert process.returncode == 0, process.stdout + process.stderr
    second = markers(root)
    assert {name for name in STAGES if first[name] != second[name]} == {"eval_methods", "report"}
    assert (root / "logs" / "eval_methods.log").read_text().count("already holds these results") == 2

    root, process = start("submitted_by=me")
    assert process.returncode == 0, process.stdout + process.stderr
    assert {name for name in STAGES if second[name] != markers(root)[name]} == {"report"}
    assert "me" in (root / "table.csv").read_text()

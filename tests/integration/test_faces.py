"""cv's scripts on a small study: one folder per model, the same files however the models are divided or cut off."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from faces_data import BLOCKS, write_study
from launching import launch, of_processes
from safetensors.torch import load_file

from unlearn.errors import UserError
from unlearn.experiment.scripts import script_config, script_main
from unlearn.methods.base import load_all

PROJECT = Path(__file__).parents[2]
MODELS = 4
SHORT = ("batch_size=4", "num_epochs=1")
SERVING = ["neggrad_plus"] + [name for name, method in sorted(load_all().items()) if not method.without_answers]
REQUIRED = {"pdu": ["forget_loss.eps=1.5", "forget_loss.warmup_epochs=0"]}


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """Overrides of the data, and of a root folder with pretrained, original and gold networks (read only)."""
    root = tmp_path_factory.mktemp("study")
    given = write_study(root / "data")
    run("pretrain", *given, *SHORT, f"save_dir={root / 'pretrained'}")
    given += [f"models={MODELS}"]
    for role in ("original", "gold"):
        run("finetune", *given, *trained(root, "pretrained"), f"role={role}", f"save_dir={root / role}")
    return root, given


def trained(root, start):
    return [*SHORT, f"splits_path={root / 'splits.json'}", f"model_path={root / start}"]


def run(script, *given):
    return script_main(f"cv/{script}")(script_config(f"cv/{script}", list(given)))


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def files(root):
    """The content of all that numbers are made from."""
    names = ("model.safetensors", "people.json", "log.jsonl", "run.json")
    return {str(f.relative_to(root)): f.read_bytes() for name in names for f in sorted(root.rglob(name))}


def test_a_folder_per_model_on_the_people_of_its_split(study):
    root, _ = study
    splits = json.loads((root / "splits.json").read_text())["splits"]
    for split in splits:
        original, gold = (root / role / f"{split['index']:03d}" for role in ("original", "gold"))
        assert (original / "done.json").is_file()
        people = json.loads((original / "people.json").read_text())
        assert set(people) == {*split["retain"], *split["forget"]}
        assert set(split["forget"]) <= {*BLOCKS["forget10"], *BLOCKS["holdout10"]}
        assert json.loads((gold / "people.json").read_text()) == list(split["retain"])
        assert load_file(gold / "model.safetensors")["people"].shape == (len(split["retain"]), 8)
        # Three pictures of each person are trained on, two enrol: 4 a step.
        assert len(log_of(original)) == -(-3 * len(people) // 4)
        assert len(log_of(gold)) == -(-3 * len(split["retain"]) // 4)


def test_every_model_has_a_seed_of_its_own_and_gold_that_of_its_original(study):
    import yaml

    root, _ = study
    seeds = {
        role: [yaml.safe_load((root / role / f"{i:03d}" / "config.yaml").read_text())["seed"] for i in range(MODELS)]
        for role in ("original", "gold")
    }
    assert len(set(seeds["original"])) == MODELS
    assert seeds["original"] == seeds["gold"]


def test_two_processes_write_what_one_writes_and_a_batch_is_not_divided(study, tmp_path):
    root, given = study
    launch(
        *of_processes(2),
        PROJECT / "cv/finetune.py",
        *given,
        *trained(root, "pretrained"),
        f"save_dir={tmp_path / 'original'}",
    )
    assert files(tmp_path / "original") == files(root / "original")


def test_a_range_in_two_parts_is_the_range(study, tmp_path):
    root, given = study
    for part in ("2-3", "0+1"):
        run("finetune", *given, *trained(root, "pretrained"), f"splits={part}", f"save_dir={tmp_path / 'original'}")
    assert files(tmp_path / "original") == files(root / "original")


def test_a_killed_study_repeats_no_finished_model_and_ends_with_the_same_files(study, tmp_path):
    root, given = study
    out = tmp_path / "original"
    given = [*given, *trained(root, "pretrained"), f"save_dir={out}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    with subprocess.Popen([sys.executable, str(PROJECT / "cv/finetune.py"), *given], env=environment) as process:
        while not (out / "001/log.jsonl").is_file() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    finished = {folder: (folder / "done.json").stat().st_mtime_ns for folder in out.iterdir() if done(folder)}
    assert 1 <= len(finished) < MODELS
    run("finetune", *given)
    assert {folder: (folder / "done.json").stat().st_mtime_ns for folder in finished} == finished
    assert files(out) == files(root / "original")


def done(folder):
    return (folder / "done.json").is_file()


@pytest.mark.parametrize("name", SERVING)
def test_every_method_takes_its_steps_and_moves_the_network(name, study, tmp_path):
    """The forget set of 3 pictures a person is smaller than a batch of 64: it takes its steps all the same."""
    root, given = study
    out = tmp_path / "run"
    more = ["splits=1", "batch_size=64", f"save_dir={out}", f"forget_loss={name}", *REQUIRED.get(name, [])]
    run("forget", *given, *trained(root, "original"), *more)
    log = log_of(out / "001")
    assert len(log) >= 1
    assert all(row["grad_norm"] > 0 or row["loss"] == 0 for row in log)
    old, new = (load_file(root_of / "001/model.safetensors") for root_of in (root / "original", out))
    assert all(torch.isfinite(value).all() for value in new.values())
    assert any(not torch.equal(old[key], new[key]) for key in old)
    assert (out / "001/people.json").read_bytes() == (root / "original/001/people.json").read_bytes()


@pytest.mark.parametrize("name", [name for name in load_all() if name not in SERVING])
def test_methods_of_texts_are_refused_with_the_reason(name):
    with pytest.raises(UserError, match=f"forget_loss={name} makes no sense for networks that tell faces"):
        script_config("cv/forget", [f"forget_loss={name}", *REQUIRED.get(name, [])])


def test_embeddings_are_written_once_and_leave_the_model_what_it_was(study, tmp_path):
    from unlearn.config.faces import FaceEval
    from unlearn.entry import load
    from unlearn.faces.album import load_album
    from unlearn.faces.embeddings import FILE, read_embeddings

    root, given = study
    more = [*given, f"model_path={root / 'gold'}", "splits=0-1", "batch_size=7"]
    run("eval", *more)
    first = (root / "gold/000" / FILE).stat().st_mtime_ns
    run("eval", *more)
    assert (root / "gold/000" / FILE).stat().st_mtime_ns == first
    album = load_album(load("cv/eval", more, FaceEval).face_data)
    found = read_embeddings([root / "gold/000", root / "gold/001"], album)
    assert found.shape == (2, 60, 8)
    assert not (found[0] == found[1]).all()
    with pytest.raises(UserError, match=r"gold/002\" lacks the embeddings of these pictures; run cv/eval.py"):
        read_embeddings([root / "gold/002"], album)
    # What a forget run starts from is the same model as before.
    run("finetune", *given, *trained(root, "pretrained"), "role=gold", f"save_dir={root / 'gold'}")
    with pytest.raises(UserError, match="holds no network that was trained to its end"):
        run("eval", *given, f"model_path={tmp_path}")


def test_the_learning_rate_is_the_given_one_at_its_peak_and_does_not_jump(study, tmp_path):
    """A published schedule was given an absolute rate as a factor: the rate was multiplied twice, and then jumped."""
    root, given = study
    more = ["splits=0", "lr=0.1", "lr_scheduler=linear", "warmup_ratio=0.5", "num_epochs=2", f"save_dir={tmp_path}/run"]
    run("finetune", *given, *trained(root, "pretrained"), *more)
    rates = [row["lr"] for row in log_of(tmp_path / "run/000")]
    steps = len(rates)
    rising = -(-steps // 2)
    expected = [0.1 * min(i / rising, (steps - i) / (steps - rising)) for i in range(steps)]
    assert rates == pytest.approx(expected)


def test_ascent_on_fewer_pictures_than_a_batch_takes_a_step_an_epoch(study, tmp_path):
    """A published loader dropped the last, smaller batch: of few people none was ever forgotten."""
    root, given = study
    more = ["splits=1", "batch_size=256", "num_epochs=3", "forget_loss=grad_ascent", f"save_dir={tmp_path / 'run'}"]
    run("forget", *given, *trained(root, "original"), *more)
    assert [row["epoch"] for row in log_of(tmp_path / "run/001")] == [0, 1, 2]


def test_a_wrong_person_is_one_of_the_network(study):
    from unlearn.config.faces import FaceForget
    from unlearn.data.answers import Answers
    from unlearn.entry import load
    from unlearn.faces.album import load_album, splits_of

    root, given = study
    cfg = load("cv/forget", [*given, f"splits_path={root / 'splits.json'}"], FaceForget)
    album = load_album(cfg.face_data)
    split = splits_of(cfg, album)[1]
    retain, forget = album.samples(split.retain, {}), album.samples(split.forget, {})
    drawn = {Answers("forget", "refusals").apply(s, retain, 0, epoch).answer for s in forget for epoch in range(9)}
    assert drawn <= set(split.retain)
    assert len(drawn) > 1

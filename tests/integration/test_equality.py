"""The same global batch gives the same weights however it is divided: 1 x 8, 1 x (2 x 4), 2 x (4 x 1), 2 x (2 x 2).

Everything in float64, where AdamW's first steps do not blow rounding up. All divisions of one number of processes run
in one start, since a start costs 10 to 18 s.
"""

import dataclasses
import json
from pathlib import Path

import pytest
from launching import launch, of_processes
from tiny_models import track_of

from unlearn.config.schema import DType
from unlearn.data.plan import micro_batches, pass_steps
from unlearn.methods.base import load_all
from unlearn.models.loading import load_model

WORKER = """
import json, runpy, sys
from pathlib import Path
import torch
from unlearn.config.scripts import FinetuneConfig, ForgetConfig
from unlearn.entry import load

torch.set_num_threads(1)
schemas = {"finetune": FinetuneConfig, "forget": ForgetConfig}
for script, overrides in json.loads(Path(sys.argv[1]).read_text()):
    main = runpy.run_path(sys.argv[2] + f"/{script}.py")["main"]
    main(load(script, overrides, schemas[script.partition("/")[2]]))
"""
FULL = ("LoRA.r=0", "freeze_vision_module=true", "freeze_projector=false")
LORA = ("LoRA.r=2", "LoRA.alpha=8")
VISION = ("LoRA.r=0", "freeze_vision_module=false", "freeze_projector=false")
NPO = ("forget_loss=npo", "forget_loss.retain_term=kl")
# A warm-up is to end within these runs: of a KL divergence that is raised, of a multiplier that stays.
WARM_UP = ("forget_loss.forget_warmup_steps=1",)
OWN = {
    "grad_diff_forget_kl_retain_ce": WARM_UP,
    "grad_diff_forget_kl_retain_kl": WARM_UP,
    "altpo": ("forget_loss.max_new_tokens=6",),
    "kvw": ("forget_loss.gamma=1",),
    "pdu": ("forget_loss.eps=4", "forget_loss.warmup_epochs=1", "forget_loss.lam0=2"),
}
METHODS = sorted(name for name, method in load_all().items() if not (method.routes or method.without_faces))
LENGTHS = {"kvw": 2, "manu": 1, "npo_kl_text": 2}
"""Steps of the training-free methods, and where 3 samples are forgotten; all others take 4 or more."""
WEIGHTS_ALONE = ("kvw", "manu", "mmunlearner", "salun")
"""Methods that do not go with adapters."""
STEPS = ("num_epochs=2", "lr=1e-3", "lr_scheduler=linear", "warmup_ratio=0.2", "model_family.dtype=float64")
RUNS = {
    **{
        name: (
            "forget",
            "llava",
            (f"forget_loss={name}", *OWN.get(name, ()), *(FULL if name in WEIGHTS_ALONE else LORA)),
        )
        for name in METHODS
    },
    **{
        f"{name}_full": ("forget", "qwen2_vl", (f"forget_loss={name}", *FULL))
        for name in ("dpo", "rmu", "scrub", "sku")
    },
    "npo_kl": ("forget", "llava", (*NPO, *LORA)),
    "l1": ("forget", "llava", ("forget_loss=retain_ft", "l1_lambda=0.01", "l_norm_from=start", *LORA)),
    "npo_kl_full": ("forget", "qwen2_vl", (*NPO, *FULL)),
    "mmunlearner_vision": ("forget", "qwen2_vl", ("forget_loss=mmunlearner", *VISION)),
    "npo_salient": ("forget", "qwen2_vl", (*NPO, *FULL, "forget_loss.saliency=0.3", "freeze_vision_module=false")),
    "npo_kl_text": ("forget", "llama", (*NPO, *LORA)),
    "finetune_text": ("finetune", "llama", ("LoRA.r=0",)),
    "finetune": ("finetune", "llava", FULL),
    "vision": ("finetune", "llava", VISION),
    "vision_qwen2_vl": ("finetune", "qwen2_vl", VISION),
}
"""15 samples are finetuned in steps of 8 and 7, 9 are forgotten in steps of 8 and 1. Rows with and without picture."""
PROJECT = Path(__file__).parents[2]
TWO = "MULTI_CPU"
DIVISIONS = {1: [(8, 1), (2, 4)], 2: [(4, 1), (2, 2)]}
"""Per number of processes: batch size and accumulated batches."""
PADDING_COUNTS = {"released_npo": {1: [(1, 8)], 2: [(1, 4)]}}
"""The published NPO averages over padding too, so it is the same for batches of one sample alone."""


@pytest.fixture(scope="module")
def people(three_forgotten):
    """9 samples are forgotten, in steps of 8 and 1."""
    return three_forgotten


@pytest.fixture(scope="module")
def runs(people, tiny_overrides, tmp_path_factory):
    """Folder with every run of every division, made by one start with one process and one with two."""
    root = tmp_path_factory.mktemp("runs")
    for processes in DIVISIONS:
        start(processes, root, list(jobs(processes, root, lambda family: tiny_overrides(people, family))))
    return root


def folders(root, name):
    per_processes = PADDING_COUNTS.get(name, DIVISIONS)
    return {(p, *d): root / name / f"{p}x{d[0]}x{d[1]}" for p, divisions in per_processes.items() for d in divisions}


def jobs(processes, root, overrides):
    for name, (script, family, given) in RUNS.items():
        for (count, batch, parts), folder in folders(root, name).items():
            if count == processes:
                sizes = (f"batch_size={batch}", f"gradient_accumulation_steps={parts}", f"save_dir={folder}")
                yield f"{track_of(family)}/{script}", [*overrides(family), *STEPS, *given, *sizes]


def start(count, root, work):
    """Run jobs one after the other under one launch."""
    (root / "work.json").write_text(json.dumps(work))
    (root / "worker.py").write_text(WORKER)
    launch(*of_processes(count), root / "worker.py", root / "work.json", PROJECT)


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_really_ran(name, runs):
    for (processes, *_), folder in folders(runs, name).items():
        facts = json.loads((folder / "provenance.json").read_text())
        assert facts["num_processes"] == processes
        assert facts["distributed_type"] == ("NO" if processes == 1 else TWO)


@pytest.mark.parametrize("name", RUNS)
def test_every_division_gives_the_same_weights(name, runs, tiny_families):
    family = dataclasses.replace(tiny_families[RUNS[name][1]], dtype=DType.float64)
    start = load_model(family, None).state_dict()
    ends = {key: load_model(family, str(folder)).state_dict() for key, folder in folders(runs, name).items()}
    first = next(iter(ends.values()))
    assert max((first[n] - start[n]).abs().max() for n in start) > 1e-3
    for key, end in ends.items():
        distance = max((end[n] - first[n]).abs().max().item() for n in first)
        assert distance < 1e-10, f"{key}: {distance}"


def test_every_division_writes_the_same_alternates(runs):
    texts = {key: (folder / "alternates.jsonl").read_text() for key, folder in folders(runs, "altpo").items()}
    assert len(set(texts.values())) == 1
    assert len(texts) == 4


def apart(row):
    return {key: value for key, value in row.items() if key != "phase"}, row.get("phase")


@pytest.mark.parametrize("name", RUNS)
def test_every_division_logs_the_same_numbers(name, runs):
    logs = {
        key: [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        for key, folder in folders(runs, name).items()
    }
    first = next(iter(logs.values()))
    assert len(first) == LENGTHS[name] if name in LENGTHS else len(first) >= 4
    for log in logs.values():
        for row, expected in zip(log, first, strict=True):
            (numbers, phase), (others, same) = apart(row), apart(expected)
            assert numbers == pytest.approx(others, rel=1e-9)
            assert phase == same


def test_texts_alone_stand_beside_pictures_in_these_runs():
    """Of the 15 samples the first 10 have a picture: some micro-batch has none while the other process's has."""
    one = {"train": "train"}
    steps = [step for epoch in range(2) for step in pass_steps({"train": 15}, "train", one, 8, 0, epoch)]
    ranks = [micro_batches(steps, rank, 2, 2, 2) for rank in range(2)]
    pictures = [[any(i < 10 for i in m.ids["train"]) for m in plan] for plan in ranks]
    assert any(one != other for one, other in zip(*pictures, strict=True))
    assert [len(step.ids["train"]) for step in steps] == [8, 7, 8, 7]

"""The plan of several forget modalities: one base, golds and methods of each, and the matrix over all."""

from functools import cache
from pathlib import Path

import pytest

from unlearn.config.schema import Modality
from unlearn.entry import load
from unlearn.errors import UserError
from unlearn.experiment.config import load_experiment, parts
from unlearn.experiment.plan import plan
from unlearn.report.leakage import LeakageConfig

MODALITIES = ["text", "image", "both"]


@cache
def stages(*overrides):
    return {stage.name: stage for stage in plan(load_experiment("leakage", list(overrides)))}


def configs(name):
    return [job.config for job in stages()[name].jobs]


def test_base_is_finetuned_once_and_everything_else_once_a_modality():
    each = ["gold_seed0", "eval_references", "forget", "eval_methods", "report"]
    assert list(stages()) == ["base", *(f"{m}_{name}" for m in MODALITIES for name in each), "leakage"]
    assert {stage.root.name for stage in stages().values()} == {"leakage"}


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_run_of_a_part_is_of_its_modality_in_its_folder(modality):
    names = [f"{modality}_{name}" for name in ("gold_seed0", "eval_references", "forget", "eval_methods")]
    runs = [config for name in names for config in configs(name)]
    assert {run.forget_modality for run in runs} == {Modality[modality]}
    assert all(run.save_dir.startswith(f"runs/leakage/{modality}/") for run in runs)
    assert {run.model_path for run in configs(f"{modality}_forget")} == {"runs/leakage/full"}
    # Without that there is no other projector to be put back.
    assert not any(run.freeze_projector for run in configs(f"{modality}_forget"))


@pytest.mark.parametrize("modality", MODALITIES)
def test_base_is_judged_in_every_part_since_its_tasks_have_other_roles_there(modality):
    judged = [run.save_dir for run in configs(f"{modality}_eval_references") if run.model_path == "runs/leakage/full"]
    results = f"runs/leakage/{modality}/full/eval_results"
    assert judged == [results, f"{results}_base_projector"]
    assert stages()["base"].marker in stages()[f"{modality}_forget"].inputs
    assert stages()["base"].marker in stages()[f"{modality}_eval_references"].inputs


@pytest.mark.parametrize("modality", MODALITIES)
def test_golds_and_methods_get_the_projector_of_the_shared_base(modality):
    runs = [*configs(f"{modality}_eval_references"), *configs(f"{modality}_eval_methods")]
    stressed = [run for run in runs if run.stress.name == "base_projector"]
    assert {run.stress.source for run in stressed} == {"runs/leakage/full"}
    assert {Path(run.save_dir).parent.name for run in stressed} == {"full", "retain90_seed0", "grad_diff", "npo"}


def test_the_matrix_is_of_all_parts_after_all_evaluations():
    stage = stages()["leakage"]
    cfg = load("leakage", list(stage.command[stage.command.index("unlearn.report.leakage") + 1 :]), LeakageConfig)
    assert cfg.experiments == {modality: f"runs/leakage/{modality}" for modality in MODALITIES}
    assert (cfg.base, cfg.golds, cfg.save_dir) == ("full", ["retain90_seed0"], "runs/leakage")
    assert (cfg.methods, cfg.stresses) == (["grad_diff", "npo"], ["base_projector"])
    assert set(stage.inputs) == {stages()[name].marker for name in stages() if "_eval_" in name}


def test_the_evaluations_have_the_ways_that_the_matrix_is_about():
    (tasks,) = {tuple(config.tasks) for name in stages() if "_eval_" in name for config in configs(name)}
    for probe in ("forget_qa_paraphrased", "forget_names_other_picture", "forget_captions_blank_picture"):
        assert probe in tasks
    assert {"forget_qa", "forget_captions", "forget_names"} <= set(tasks)


def test_an_experiment_of_one_modality_is_its_only_part():
    cfg = load_experiment("demo", [])
    assert parts(cfg) == [cfg]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["forget_modalities=[text,text]"], "forget_modalities is [text, text]; name each modality once"),
        (["track=nlp"], "forget_modalities is [text, image, both] in track nlp, which has texts alone"),
        (["sweep={lr:[1e-4],num_epochs:[3]}"], "forget_modalities and sweep are given"),
        (["~methods.npo", "~methods.grad_diff"], "methods is empty, so the leakage matrix has nothing to show"),
    ],
)
def test_what_makes_no_matrix_is_refused(overrides, words):
    with pytest.raises(UserError) as caught:
        load_experiment("leakage", overrides)
    assert words in str(caught.value)

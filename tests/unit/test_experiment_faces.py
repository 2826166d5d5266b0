"""The plan of an experiment on faces, read dry: every call finds what earlier ones made, of one and the same study."""

from functools import cache
from pathlib import Path

import pytest

from unlearn.config.faces import FaceAttack
from unlearn.entry import CONFIG, load
from unlearn.errors import UserError
from unlearn.experiment.config import load_experiment
from unlearn.experiment.faces import FaceExperiment
from unlearn.experiment.plan import plan
from unlearn.experiment.stage import split_runs
from unlearn.experiment.stages import Stage

ALL = sorted(path.stem for path in (CONFIG / "experiment").glob("cv*.yaml"))
STUDY = ("models", "design", "forget_split", "splits_path")


@cache
def stages(name, *overrides) -> dict[str, Stage]:
    return {stage.name: stage for stage in plan(load_experiment(name, list(overrides)))}


def configs(stage):
    return [job.config for job in stage.jobs]


def attack(name, *overrides):
    command = stages(name, *overrides)["attack"].command
    assert command[1].endswith("cv/attack.py")
    return load("cv/attack", list(command[2:]), FaceAttack)


def changed(before, after):
    return {name for name in before if before[name].digest != after[name].digest}


def test_the_schema_that_a_file_names_is_its_type():
    assert ALL == ["cv", "cv_demo"]
    assert all(isinstance(load_experiment(name, []), FaceExperiment) for name in ALL)
    assert not isinstance(load_experiment("demo", []), FaceExperiment)


@pytest.mark.parametrize("name", ALL)
def test_every_call_starts_from_what_an_earlier_one_made(name):
    cfg = load_experiment(name, [])
    made: set[str] = set()
    for stage in [stage for stage in stages(name).values() if stage.jobs]:
        at = stage.command.index(stage.jobs[0].script)
        assert [list(job.overrides) for job in stage.jobs] == split_runs(stage.command[at + 1 :])
        for config in configs(stage):
            assert getattr(config, "model_path", None) in {None, *made}, stage.name
        made |= {config.save_dir for config in configs(stage) if hasattr(config, "save_dir")}
    folders = {f"{cfg.root}/{name}" for name in ("pretrained", "original", "gold", *cfg.methods)}
    assert made == folders
    judged = [config.model_path for s in ("eval_references", "eval_methods") for config in configs(stages(name)[s])]
    assert sorted(judged) == sorted(folders - {f"{cfg.root}/pretrained"})
    found = attack(name)
    assert [found.original, found.gold, *found.methods] == judged
    assert found.save_dir == cfg.root


@pytest.mark.parametrize("name", ALL)
def test_all_calls_are_of_one_study(name):
    trained = [c for s in ("original", "gold") for c in configs(stages(name)[s])]
    forgotten = [c for s in stages(name) if s.startswith("forget") for c in configs(stages(name)[s])]
    assert len(forgotten) == len(load_experiment(name, []).methods)
    found = {tuple(getattr(c, key) for key in STUDY) for c in (*trained, *forgotten, attack(name))}
    assert len(found) == 1
    assert {c.models for s in ("eval_references", "eval_methods") for c in configs(stages(name)[s])} == {found.pop()[0]}
    assert [c.role.value for c in trained] == ["original", "gold"]
    assert {c.face_model.name for s in stages(name).values() for c in configs(s)} == {attack(name).face_model.name}


def test_the_study_as_published_is_asked_for_by_name():
    given = ("overrides=['face_preset=released']", "design=clear", "protocol=released")
    found = stages("cv", *given)
    (original,) = configs(found["original"])
    assert (original.design.value, original.reserve, original.face_model.name) == ("clear", False, "resnet18")
    assert attack("cv", *given).protocol.value == "released"
    (correct,) = configs(stages("cv")["original"])
    assert (correct.design.value, correct.reserve, correct.num_epochs) == ("balanced", True, 20)


def test_original_and_gold_are_made_side_by_side_and_methods_in_as_many_processes_as_asked():
    found = stages("cv_demo", "runs_per_process=3")
    assert found["original"].inputs == found["gold"].inputs == (found["pretrain"].marker,)
    assert [len(found[name].jobs) for name in ("forget_1", "forget_2")] == [3, 2]
    assert found["forget_1"].inputs == found["forget_2"].inputs == (found["original"].marker,)
    assert found["eval_methods"].inputs == (found["forget_1"].marker, found["forget_2"].marker)
    assert found["attack"].inputs == (found["eval_references"].marker, found["eval_methods"].marker)
    assert (found["attack"].processes, found["attack"].gpus) == (0, 0)


def test_the_published_protocol_trains_on_the_pictures_that_enrol():
    kinds = {"disjoint": True, "released": False}
    for protocol, reserve in kinds.items():
        found = stages("cv_demo", f"protocol={protocol}")
        trained = [c for s in found.values() for c in configs(s) if hasattr(c, "reserve")]
        assert {c.reserve for c in trained} == {reserve}
        assert attack("cv_demo", f"protocol={protocol}").protocol.value == protocol


def test_a_changed_key_changes_the_stages_that_depend_on_it_and_no_others():
    before = stages("cv_demo")
    assert changed(before, stages.__wrapped__("cv_demo")) == set()
    assert changed(before, stages("cv_demo", "attack=['draws=7']")) == {"attack"}
    eval_on = {"eval_methods", "attack"}
    assert changed(before, stages("cv_demo", "methods.npo=['lr=0.5']")) == {"forget_2", *eval_on}
    assert changed(before, stages("cv_demo", "finetune=['lr=0.5']")) == set(before) - {"pretrain"}
    assert changed(before, stages("cv_demo", "pretrain=['lr=0.5']")) == set(before)


def test_other_pictures_of_a_folder_change_every_stage(tmp_path):
    keys = [f"'face_data.{key}={tmp_path}'" for key in ("path", "people_path", "celebrities_path")]
    given = f"overrides=[{','.join(keys)},'face_data.generate_seed=null']"
    before = stages("cv_demo", given)
    (tmp_path / "full.parquet").write_bytes(b"one")
    assert changed(before, stages.__wrapped__("cv_demo", given)) == set(before)


def test_a_root_with_blanks_and_commas_is_one_place():
    root = "/tmp/a study, mine"
    found = stages("cv_demo", f"root='{root}'")
    assert {Path(c.save_dir).parent for c in configs(found["forget_1"])} == {Path(root)}
    assert attack("cv_demo", f"root='{root}'").methods[0] == f"{root}/retain_ft"


def test_an_experiment_without_methods_has_nothing_to_compare():
    left_out = [f"~methods.{name}" for name in load_experiment("cv_demo", []).methods]
    with pytest.raises(UserError, match="methods is empty, so there is nothing to compare with gold"):
        load_experiment("cv_demo", left_out)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("models=7", "models is 7"),
        ("models=4", "models is 4; allowed is an even number from 6 on, for an attack"),
        ("+methods.gold=[]", 'methods has "gold", which cannot name a folder beside'),
        ("+methods.figures=[]", 'methods has "figures", which cannot name a folder beside'),
        ("+methods.npoo=[]", 'Unknown forget_loss "npoo"'),
        ("finetune=['splits=0-3']", 'finetune sets "splits=0-3", but the experiment decides splits; leave it out'),
        ("attack=['protocol=released']", 'attack sets "protocol=released", but the experiment decides protocol'),
        ("methods.npo=['reserve=false']", 'methods.npo sets "reserve=false"'),
        ("threads=0", "threads is 0; allowed is above 0"),
        ("launch=singel", 'Did you mean "single"?'),
        ("gold_seeds=[1]", 'Unknown key "gold_seeds"'),
        ("protocol=published", "protocol"),
    ],
)
def test_mistakes_are_named(override, words):
    with pytest.raises(UserError) as caught:
        plan(load_experiment("cv_demo", [override]))
    assert words in str(caught.value)

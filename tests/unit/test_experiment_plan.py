"""The plan of every experiment, read dry: commands compose, inputs exist, digests follow what they depend on."""

from functools import cache
from pathlib import Path

import pytest

from unlearn.entry import CONFIG
from unlearn.errors import UserError
from unlearn.experiment.config import golds, load_experiment, references, unlearned
from unlearn.experiment.plan import Stage, plan
from unlearn.experiment.scripts import script_config
from unlearn.experiment.stage import split_runs

EXPERIMENTS = sorted(path.stem for path in (CONFIG / "experiment").glob("*.yaml"))


@cache
def stages(name, *overrides) -> dict[str, Stage]:
    return {stage.name: stage for stage in plan(load_experiment(name, list(overrides)))}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_inputs_are_made_by_earlier_stages(name):
    made: set[Path] = set()
    for stage in plan(load_experiment(name, [])):
        assert set(stage.inputs) <= made, stage.name
        assert stage.marker not in made
        made.add(stage.marker)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_commands_are_runs_of_the_scripts_whose_paths_fit(name):
    cfg = load_experiment(name, [])
    folders: set[str] = set()
    results = []
    for stage in plan(cfg)[:-1]:
        at = stage.command.index("unlearn.experiment.stage")
        script, *arguments = stage.command[at + 1 :]
        assert [list(job.overrides) for job in stage.jobs] == split_runs(arguments)
        configs = [script_config(script, overrides) for overrides in split_runs(arguments)]
        for config in configs:
            assert config.model_path is None or config.model_path in folders, stage.name
            assert config.save_dir.startswith(cfg.root + "/")
        new = [config.save_dir for config in configs]
        assert not folders & set(new)
        folders |= set(new)
        results += new if script == "mm/eval" else []
    assert sorted(results) == sorted(str(m.results) for m in (*references(cfg), *unlearned(cfg)))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_report_names_every_model_once(name):
    from unlearn.entry import load
    from unlearn.report.config import ReportConfig

    cfg = load_experiment(name, [])
    command = plan(cfg)[-1].command
    config = load("report", list(command[command.index("unlearn.report") + 1 :]), ReportConfig)
    assert config.models == {m.name: str(m.folder) for m in (*references(cfg), *unlearned(cfg))}
    assert config.golds == [gold.name for gold in golds(cfg)]
    assert list(config.models)[:3] == ["pretrained", "base", "gold"]


def test_gold_seeds_are_runs_of_their_own():
    found = stages("mini", "gold_seeds=[0,3]")
    assert [s for s in found if s.startswith("gold")] == ["gold_seed0", "gold_seed3"]
    configs = [script_config("mm/finetune", list(found[s].jobs[0].overrides)) for s in ("gold_seed0", "gold_seed3")]
    assert [(c.seed, c.split, c.save_dir) for c in configs] == [
        (0, "retain90", "runs/mini/retain90_seed0"),
        (3, "retain90", "runs/mini/retain90_seed3"),
    ]
    assert [m.name for m in references(load_experiment("mini", ["gold_seeds=[2,0]"]))][2:] == ["gold", "gold_seed0"]


def test_method_overrides_come_after_those_of_all_methods():
    found = stages("demo", "forget=['lr=5e-4']", "+methods.slow=['forget_loss=npo','lr=1e-6']")
    rates = {c.save_dir: (c.forget_loss.name, c.lr) for c in _configs(found["forget"])}
    assert rates["runs/demo/slow"] == ("npo", 1e-6)
    assert rates["runs/demo/npo"] == ("npo", 5e-4)


def _configs(stage):
    return [script_config(job.script, list(job.overrides)) for job in stage.jobs]


def test_runs_per_process_deals_out_methods_and_their_evaluations():
    found = stages("mini", "runs_per_process=3")
    assert [s for s in found if s.startswith("forget")] == ["forget_1", "forget_2"]
    assert [len(found[s].jobs) for s in ("forget_1", "forget_2")] == [3, 1]
    assert found["eval_methods_2"].inputs == (found["forget_2"].marker,)
    assert {found[s].marker for s in found if s.startswith("eval")} == set(found["report"].inputs)


def changed(before, after):
    return {name for name in before if before[name].digest != after[name].digest}


def test_a_changed_key_changes_the_stages_that_depend_on_it_and_no_others():
    before = stages("demo")
    assert changed(before, stages.__wrapped__("demo")) == set()
    assert changed(before, stages("demo", "forget=['lr=1e-5']")) == {"forget", "eval_methods", "report"}
    assert changed(before, stages("demo", "eval=['batch_size=3']")) == {"eval_references", "eval_methods", "report"}
    assert changed(before, stages("demo", "finetune=['lr=1e-5']")) == set(before)
    assert changed(before, stages("demo", "submitted_by=me")) == {"report"}


def test_what_does_not_change_numbers_changes_no_stage():
    assert changed(stages("demo"), stages("demo", "finetune=['num_workers=2','tracker=tensorboard']")) == set()


def test_other_weights_of_a_local_pretrained_model_change_every_stage(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"one")
    key = f"overrides=['model_family.hub_id={tmp_path}']"
    before = stages("demo", key)
    (tmp_path / "model.safetensors").write_bytes(b"three")
    assert changed(before, stages.__wrapped__("demo", key)) == set(before)


def test_another_version_changes_every_stage(monkeypatch):
    before = stages("demo")
    monkeypatch.setattr("unlearn.experiment.plan.__version__", "9")
    assert changed(before, stages.__wrapped__("demo")) == set(before)


@pytest.mark.parametrize(
    ("name", "override", "words"),
    [
        ("dmo", "", 'Unknown experiment "dmo"; allowed are: demo, mini'),
        ("dmo", "", 'Did you mean "demo"?'),
        ("demo", "gold_seed=[1]", 'Did you mean "gold_seeds"?'),
        ("demo", "gold_seeds=[]", "gold_seeds is []; allowed are distinct seeds"),
        ("demo", "gold_seeds=[1,1]", "gold_seeds is [1, 1]; allowed are distinct seeds"),
        ("demo", "threads=0", "threads is 0; allowed is above 0"),
        ("demo", "retain_split=retain95", "forget_split=forget10 goes with retain_split=retain90"),
        ("demo", "launch=singel", 'Did you mean "single"?'),
        ("demo", "+methods.base=['forget_loss=npo']", 'methods has "base", which cannot name a folder'),
        ("demo", "+methods.full=['forget_loss=npo']", 'methods has "full", which cannot name a folder'),
        ("demo", "forget=['save_dir=x']", 'forget sets "save_dir=x", but the experiment decides save_dir'),
        ("demo", "methods.npo=['model_path=x']", 'methods.npo sets "model_path=x"'),
        ("demo", "+methods.npoo=[]", 'Unknown forget_loss "npoo"'),
        ("demo", "methods.npo=['lr=-1']", "lr is -1"),
        ("demo", "finetune=['lrr=1']", 'Did you mean "lr"?'),
    ],
)
def test_mistakes_are_named(name, override, words):
    with pytest.raises(UserError) as caught:
        plan(load_experiment(name, [override] if override else []))
    assert words in str(caught.value)

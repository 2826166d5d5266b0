"""The plan of every experiment, read dry: commands compose, inputs exist, digests follow what they depend on."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from unlearn.entry import CONFIG, load, split_overrides
from unlearn.errors import UserError
from unlearn.experiment.config import ExperimentConfig, golds, load_experiment, parts, references, unlearned
from unlearn.experiment.plan import plan
from unlearn.experiment.scripts import script_config
from unlearn.experiment.stage import split_runs
from unlearn.experiment.stages import Stage
from unlearn.report.config import ReportConfig
from unlearn.tofu_small.config import TofuSmallConfig

ALL = sorted(path.stem for path in (CONFIG / "experiment").glob("*.yaml"))
EXPERIMENTS = [name for name in ALL if isinstance(load_experiment(name, []), ExperimentConfig)]
"""Those of models that speak; test_experiment_faces.py has the others."""


@cache
def stages(name, *overrides) -> dict[str, Stage]:
    return {stage.name: stage for stage in plan(load_experiment(name, list(overrides)))}


@pytest.mark.parametrize("name", ALL)
def test_inputs_are_made_by_earlier_stages(name):
    made: set[Path] = set()
    for stage in stages(name).values():
        assert set(stage.inputs) <= made, stage.name
        assert stage.marker not in made
        made.add(stage.marker)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_commands_are_runs_of_the_scripts_whose_paths_fit(name):
    cfg = load_experiment(name, [])
    folders: set[str] = set()
    results = []
    for stage in [stage for stage in stages(name).values() if stage.jobs]:
        at = stage.command.index(stage.jobs[0].script)
        script, *arguments = stage.command[at:]
        assert [list(job.overrides) for job in stage.jobs] == split_runs(arguments)
        configs = _configs(stage)
        for config in configs:
            assert config.model_path is None or config.model_path in folders, stage.name
            assert config.save_dir.startswith(cfg.root + "/")
        new = [config.save_dir for config in configs]
        assert not folders & set(new)
        folders |= set(new)
        results += new if script.endswith("/eval") else []
    judged = [model for part in parts(cfg) for model in (*references(part), *unlearned(part))]
    stressed = [model.results(stress) for model in judged if model.trained for stress in cfg.stresses]
    assert sorted(results) == sorted(str(folder) for folder in (*(model.results() for model in judged), *stressed))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_report_names_every_model_once(name):
    from unlearn.report.config import ReportConfig

    for cfg in parts(load_experiment(name, [])):
        command = stages(name)[f"{cfg.prefix}report"].command
        config = load("report", list(command[command.index("unlearn.report") + 1 :]), ReportConfig)
        tuned = cfg.sweep.asked
        assert config.models == {m.name: str(m.folder) for m in (*references(cfg), *([] if tuned else unlearned(cfg)))}
        assert config.sweep == (f"{cfg.root}/sweep" if tuned else None)
        assert (config.save_dir, config.metrics.value) == (cfg.root, "correct")
        assert config.golds == [gold.name for gold in golds(cfg)]
        assert list(config.models)[:3] == ["pretrained", "base", "gold"]


def test_the_published_metrics_have_a_report_of_their_own_on_the_same_evaluations():
    from unlearn.report.config import ReportConfig

    found = stages("demo", "released=true")
    assert set(found) == {*stages("demo"), "report_released"}
    command = found["report_released"].command
    config = load("report", list(command[command.index("unlearn.report") + 1 :]), ReportConfig)
    assert (config.save_dir, config.metrics.value) == ("runs/demo/released", "released")
    assert found["report_released"].inputs == found["report"].inputs
    evaluations = [c for s in found.values() for c in _configs(s) if hasattr(c, "tasks")]
    assert {c.metrics.value for c in evaluations} == {"released"}
    assert {c.metrics.value for s in stages("demo").values() for c in _configs(s) if hasattr(c, "tasks")} == {"correct"}


def test_gold_seeds_are_runs_of_their_own():
    found = stages("mini", "gold_seeds=[0,3]")
    assert [s for s in found if s.startswith("gold")] == ["gold_seed0", "gold_seed3"]
    configs = [found[s].jobs[0].config for s in ("gold_seed0", "gold_seed3")]
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


def test_trained_models_are_evaluated_under_every_stress_in_the_stages_that_evaluate_them():
    from unlearn.entry import load
    from unlearn.report.config import ReportConfig

    found = stages("demo", "stresses=[relearn_forget,base_projector]")
    assert set(found) == set(stages("demo"))
    references, methods = (_configs(found[name]) for name in ("eval_references", "eval_methods"))
    places = [(config.stress.name, config.model_path, config.save_dir) for config in (*references, *methods)]
    assert places[:4] == [
        ("none", None, "runs/demo/pretrained/eval_results"),
        ("none", "runs/demo/full", "runs/demo/full/eval_results"),
        ("relearn_forget", "runs/demo/full", "runs/demo/full/eval_results_relearn_forget"),
        ("base_projector", "runs/demo/full", "runs/demo/full/eval_results_base_projector"),
    ]
    assert [name for name, path, _ in places if path] == ["none", "relearn_forget", "base_projector"] * 4
    exchanged = [config.stress for config in methods if config.stress.name == "base_projector"]
    assert {stress.source for stress in exchanged} == {"runs/demo/full"}
    command = found["report"].command
    config = load("report", list(command[command.index("unlearn.report") + 1 :]), ReportConfig)
    assert config.stresses == ["relearn_forget", "base_projector"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("stresses=[int5]", r'Unknown stress in stresses: "int5"; allowed are: .*int4.* Did you mean "int'),
        ("stresses=[none]", r'Unknown stress in stresses: "none"'),
        ("stresses=[int4,int4]", r"stresses is \[int4, int4\]; name each of them once"),
        ("overrides=['stress=int4']", r'overrides sets "stress=int4", but the experiment decides stress; leave it out'),
    ],
)
def test_stresses_that_cannot_be_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        load_experiment("demo", [given])


def _configs(stage):
    return [job.config for job in stage.jobs]


def test_a_job_carries_the_config_that_its_command_gives():
    jobs = [job for name in ("eval_references", "forget_2", "eval_methods_1") for job in stages(*SWEPT)[name].jobs]
    assert [job.config for job in jobs] == [script_config(job.script, list(job.overrides)) for job in jobs]


def test_runs_per_process_deals_out_methods_and_their_evaluations():
    found = stages("mini", "runs_per_process=3")
    assert [s for s in found if s.startswith("forget")] == ["forget_1", "forget_2"]
    assert [len(found[s].jobs) for s in ("forget_1", "forget_2")] == [3, 1]
    assert found["eval_methods_2"].inputs == (found["forget_2"].marker,)
    assert {found[s].marker for s in found if s.startswith("eval")} == set(found["report"].inputs)


SWEEP = "sweep={lr:[1e-4,3e-5],num_epochs:[3,6],seed:4}"
SWEPT = ("demo", SWEEP, "runs_per_process=4", "methods.npo=['forget_loss.beta=0.5']")


def test_every_method_gets_the_same_trials():
    """Each in a folder of its own, with the values in its config; nothing lies where it does without a sweep."""
    configs = [c for name, stage in stages(*SWEPT).items() if name.startswith("forget") for c in _configs(stage)]
    values = [(rate, epochs) for rate in (1e-4, 3e-5) for epochs in (3, 6)]
    for method in ("grad_ascent", "npo"):
        own = [c for c in configs if c.forget_loss.name == method]
        assert [(c.lr, c.num_epochs) for c in own] == values
        assert [c.save_dir for c in own] == [f"runs/demo/sweep/{method}/lr{rate}_epochs{e}" for rate, e in values]
    assert {c.forget_loss.beta for c in configs if c.forget_loss.name == "npo"} == {0.5}
    assert len(configs) == 8
    assert not any(Path(c.save_dir).parent == Path("runs/demo") for c in configs)


def test_all_trials_are_evaluated_before_the_choice_and_the_choice_before_the_report():
    found = stages(*SWEPT)
    evaluated = {name for name in found if name.startswith("eval")}
    assert evaluated == {"eval_references", "eval_methods_1", "eval_methods_2"}
    assert set(found["select"].inputs) == {found[name].marker for name in evaluated}
    assert found["select"].marker in found["report"].inputs
    judged = {c.model_path: c.save_dir for s in evaluated for c in _configs(found[s]) if "/sweep/" in str(c.model_path)}
    assert len(judged) == 8
    assert all(out == f"{model}/eval_results" for model, out in judged.items())


def test_only_the_trials_of_a_sweep_may_stop():
    stopping = {name for name, stage in stages(*SWEPT).items() if "--trials" in stage.command}
    assert stopping == {f"{kind}_{i}" for kind in ("forget", "eval_methods") for i in (1, 2)}
    assert not any("--trials" in stage.command for stage in stages("demo").values())


def test_the_choice_knows_what_was_tried():
    from unlearn.experiment.select import SelectConfig
    from unlearn.experiment.trials import trials

    cfg = load_experiment(SWEPT[0], list(SWEPT[1:]))
    command = stages(*SWEPT)["select"].command
    config = load("select", list(command[command.index("unlearn.experiment.select") + 1 :]), SelectConfig)
    assert config.golds == ["runs/demo/retain90_seed0"]
    assert config.sweep.seed == 4
    tried = trials(Path(config.save_dir), config.methods, config.sweep.lr, config.sweep.num_epochs)
    assert [(t.method, t.folder) for t in tried] == [(m.name, m.folder) for m in unlearned(cfg)]


def test_another_seed_of_the_halves_chooses_and_reports_again_and_runs_nothing():
    assert changed(stages(*SWEPT), stages(*SWEPT, "sweep.seed=5")) == {"select", "report"}


def test_a_stage_asks_a_cluster_for_what_its_runs_need():
    found = stages("demo", "cluster={mem_mb:9000,minutes:30}", "launch=ddp")
    asked = {name: (s.minutes, s.mem_mb, s.gpus, s.processes) for name, s in found.items()}
    assert asked["base"] == (30, 18000, 2, 2)
    assert asked["forget"] == (60, 18000, 2, 2)
    assert asked["report"] == (30, 9000, 0, 0)


def test_what_is_asked_of_a_cluster_changes_no_stage():
    other = stages("demo", "cluster={mem_mb:9000,minutes:30,gpus:0}")
    assert changed(stages("demo"), other) == set()
    assert {stage.gpus for stage in other.values()} == {0}


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


def test_what_an_experiment_makes_first_stands_before_every_model():
    found = stages("tofu_small")
    first = found["prepare"]
    cfg = load_experiment("tofu_small", [])
    assert first.command[1:3] == ("-m", "unlearn.tofu_small")
    assert (first.inputs, first.processes) == ((), 0)
    given = load("tofu_small", list(first.command[3:]), TofuSmallConfig)
    assert (given.source, given.save_dir) == ("locuslab/TOFU", "runs/tofu_small/prepared")
    assert given.overwrite_dir
    for name in ("base", *(f"gold_seed{seed}" for seed in cfg.gold_seeds)):
        assert found[name].inputs == (first.marker,)
        config = found[name].jobs[0].config
        assert config.data.text_path == "runs/tofu_small/prepared/texts"
        assert config.model_family.hub_id == "runs/tofu_small/prepared/model"
    assert "prepare" not in stages("demo")
    other = stages("tofu_small", "prepare.source=/my/TOFU")
    assert changed(found, other) == set(found)


def test_another_state_of_the_source_changes_every_stage(tmp_path):
    key = f"prepare.source={tmp_path}"
    before = stages("tofu_small", key)
    (tmp_path / "full.json").write_text("{}")
    assert changed(before, stages.__wrapped__("tofu_small", key)) == set(before)


def test_what_the_experiment_makes_itself_changes_no_stage_when_it_is_there(tmp_path):
    """Else every stage would run twice: planned before the model is made, and again after."""
    root = f"root={tmp_path}"
    before = stages("tofu_small", root)
    for made in ("model", "texts"):
        (tmp_path / "prepared" / made).mkdir(parents=True)
        (tmp_path / "prepared" / made / "file").write_bytes(b"one")
    assert changed(before, stages.__wrapped__("tofu_small", root)) == set()


def test_another_version_changes_every_stage(monkeypatch):
    before = stages("demo")
    monkeypatch.setattr("unlearn.experiment.identity.__version__", "9")
    assert changed(before, stages.__wrapped__("demo")) == set(before)


@pytest.mark.parametrize(
    ("name", "override", "words"),
    [
        ("dmo", "", 'Unknown experiment "dmo"; allowed are: cv, cv_demo, demo, leakage, mini'),
        ("dmo", "", 'Did you mean "demo"?'),
        ("demo", "gold_seed=[1]", 'Did you mean "gold_seeds"?'),
        ("demo", "gold_seeds=[]", "gold_seeds is []; allowed are distinct seeds"),
        ("demo", "gold_seeds=[1,1]", "gold_seeds is [1, 1]; allowed are distinct seeds"),
        ("demo", "prepare.source=x", "prepare.source is set, but prepare.module and prepare.source go together"),
        ("demo", "+methods.prepared=[]", 'methods has "prepared", which cannot name a folder'),
        ("demo", "threads=0", "threads is 0; allowed is above 0"),
        ("demo", "retain_split=retain95", "forget_split=forget10 goes with retain_split=retain90"),
        ("demo", "launch=singel", 'Did you mean "single"?'),
        ("demo", "+methods.base=['forget_loss=npo']", 'methods has "base", which cannot name a folder'),
        ("demo", "+methods.full=['forget_loss=npo']", 'methods has "full", which cannot name a folder'),
        ("demo", "forget=['save_dir=x']", 'forget sets "save_dir=x", but the experiment decides save_dir'),
        ("demo", "methods.npo=['model_path=x']", 'methods.npo sets "model_path=x"'),
        ("demo", "eval=['metrics=released']", 'eval sets "metrics=released", but the experiment decides metrics'),
        ("demo", "+methods.npoo=[]", 'Unknown forget_loss "npoo"'),
        ("demo", "methods.npo=['lr=-1']", "lr is -1"),
        ("demo", "finetune=['lrr=1']", 'Did you mean "lr"?'),
        ("demo", "+methods.sweep=['forget_loss=npo']", 'methods has "sweep", which cannot name a folder'),
        ("demo", "+methods.released=['forget_loss=npo']", 'methods has "released", which cannot name a folder'),
        ("demo", "cluster.minutes=0", "cluster.minutes is 0; allowed is above 0"),
        ("demo", "cluster.gpus=2", "cluster.gpus is 2; allowed is 0 or 1"),
        ("demo", "sweep.lr=[1e-4]", "sweep.num_epochs is []; allowed are distinct numbers above 0, at least one"),
        ("demo", "sweep={lr:[1e-4,1e-4],num_epochs:[3]}", "sweep.lr is [0.0001, 0.0001]; allowed are distinct"),
        ("demo", "sweep={lr:[1e-4],num_epochs:[0]}", "sweep.num_epochs is [0]; allowed are distinct"),
        ("demo", "sweep={lr:[1e-4],num_epochs:[3],seed:-1}", "sweep.seed is -1; allowed is 0 or above"),
    ],
)
def test_mistakes_are_named(name, override, words):
    with pytest.raises(UserError) as caught:
        plan(load_experiment(name, [override] if override else []))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("methods.npo=['lr=1e-4']", 'methods.npo sets "lr=1e-4", but the sweep tries lr for every method alike'),
        ("methods.npo=['num_epochs=3']", 'methods.npo sets "num_epochs=3", but the sweep tries num_epochs'),
        ("forget=['lr=1e-4']", 'forget sets "lr=1e-4", but the sweep tries lr for every method alike'),
    ],
)
def test_what_the_sweep_tries_is_nobody_elses(override, words):
    plan(load_experiment("demo", [override]))
    with pytest.raises(UserError) as caught:
        load_experiment("demo", [override, SWEEP])
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "name", ["Jane Doe", "O'Neil", 'a "so called" one', "a, b: [c={d}] (e) # f", "slash\\", "\\' and \\\\'", "Žofie"]
)
def test_who_submits_may_be_called_anything(name):
    stage = plan(replace(load_experiment("demo", []), submitted_by=name))[-1]
    overrides = stage.command[stage.command.index("unlearn.report") + 1 :]
    assert load("report", list(overrides), ReportConfig).submitted_by == name


def test_overrides_in_a_text_are_split_like_words_of_a_shell():
    text = "submitted_by='Jane Doe' \"finetune=['lr=1e-3']\"  root=runs/x"
    assert split_overrides(text) == ["submitted_by=Jane Doe", "finetune=['lr=1e-3']", "root=runs/x"]
    assert split_overrides("") == []
    with pytest.raises(UserError, match="has a quote without its partner"):
        split_overrides("root=runs/x submitted_by='Jane Doe")


def test_a_sweep_of_no_method_is_an_error(tmp_path):
    with pytest.raises(UserError, match="the sweep has nothing to try"):
        load_experiment("demo", ["~methods.npo", "~methods.grad_ascent", SWEEP])

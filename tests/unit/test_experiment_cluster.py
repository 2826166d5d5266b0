"""The profile for SLURM, and what the Snakefile's rules ask a cluster for."""

import shlex
from pathlib import Path

import pytest
import yaml

from unlearn.experiment.config import load_experiment
from unlearn.experiment.plan import plan

PROJECT = Path(__file__).parents[2]
CLUSTER = ("cluster={mem_mb:9000,minutes:30}", "launch=ddp", "threads=2", "submitted_by=Jane Doe", "gold_seeds=[0, 1]")


def profile(name):
    return yaml.safe_load((PROJECT / "profiles" / name / "config.yaml").read_text())


def test_the_profile_submits_to_slurm_and_resumes_what_was_cut_off():
    found = profile("slurm")
    assert found["executor"] == "slurm"
    assert found["slurm-requeue"] is True
    # Both profiles hold at once, and the default one is not to be contradicted.
    assert not set(found) & set(profile("default"))


def test_every_key_of_the_profile_is_an_option_of_snakemake():
    from snakemake.cli import get_argument_parser

    options = {text for action in get_argument_parser()._actions for text in action.option_strings}
    own = {"slurm-requeue"}
    assert {f"--{key}" for key in set(profile("slurm")) - own} <= options


@pytest.fixture(scope="module")
def rules():
    """The rules that Snakemake reads: {rule: {resource: value}}."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings

    given = ConfigSettings(config={"experiment": "demo", "overrides": shlex.join(CLUSTER)})
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        read = api.workflow(ResourceSettings(cores=1), given, snakefile=PROJECT / "Snakefile")
        return {
            rule.name: {name: resource.value for name, resource in rule.resources.items() if name != "tmpdir"}
            for rule in read._workflow.rules
        }


def test_every_stage_is_a_rule_that_asks_for_what_the_plan_says(rules):
    stages = plan(load_experiment("demo", list(CLUSTER)))
    assert set(rules) == {"all", *(stage.name for stage in stages)}
    for stage in stages:
        asked = rules[stage.name]
        assert (asked["runtime"], asked["mem_mb"], asked["gpu"]) == (stage.minutes, stage.mem_mb, stage.gpus)
        assert asked["nodes"] == 1
        assert asked["_cores"] == asked["cpus_per_task"]


def test_a_stage_of_two_processes_asks_for_the_cores_of_both(rules):
    assert {rules[name]["_cores"] for name in rules if name not in ("all", "report")} == {4}
    assert rules["report"]["_cores"] == 1

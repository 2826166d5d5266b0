"""The README's commands: taken out of it, composed, and run one after the other."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from unlearn.config.loading import PROJECT
from unlearn.config.scripts import EvalConfig, FinetuneConfig, ForgetConfig
from unlearn.entry import load
from unlearn.experiment.config import load_experiment
from unlearn.experiment.plan import plan
from unlearn.metrics.aggregate import AggregateConfig

README = (PROJECT / "README.md").read_text()
SCRIPTS = {"finetune": FinetuneConfig, "forget": ForgetConfig, "eval": EvalConfig}
SCHEMAS = {f"{track}/{name}": schema for track in ("mm", "nlp") for name, schema in SCRIPTS.items()}
QUICK = {
    "mm/finetune": ["num_epochs=1", "batch_size=64"],
    "mm/forget": ["num_epochs=1", "batch_size=64"],
    "mm/eval": ["tasks=[forget_captions,retain_names]"],
}


def commands(section):
    """Return the commands of the first shell block of a section, comments off."""
    block = re.search(rf"^## {section}$.*?```bash\n(.*?)```", README, re.MULTILINE | re.DOTALL).group(1)
    return [line for line in (text.split("#")[0].strip() for text in block.splitlines()) if line]


WORKFLOW = commands("The workflow")
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
EVERY = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines()]


def script_of(command):
    found = re.search(r"accelerate launch ((?:mm|nlp)/\w+)\.py(.*)", command)
    return found and (found.group(1), shlex.split(found.group(2)))


def jobs(command):
    """Return (script, config) of each run that a command starts."""
    script, arguments = script_of(command)
    sweep = [a for a in arguments if a != "-m"]
    count = max(a.count(",") + 1 for a in sweep) if "-m" in arguments else 1
    for i in range(count):
        one = [f"{k}={v.split(',')[i]}" if "," in v else f"{k}={v}" for k, v in (a.split("=", 1) for a in sweep)]
        yield script, load(script, one, SCHEMAS[script])


@pytest.mark.parametrize("command", [c for c in EVERY if script_of(c)])
def test_every_command_composes(command):
    assert list(jobs(command))


def test_targets_and_experiments_exist():
    makefile = (PROJECT / "Makefile").read_text()
    targets = re.findall(r"^make ([\w-]+)", "\n".join(EVERY), re.MULTILINE)
    assert targets == ["demo", "test", "nlp-demo", "cv-demo", "tofu-small"]
    assert all(re.search(rf"^([\w-]+ )*{target}( [\w-]+)*:", makefile, re.MULTILINE) for target in targets)
    for name in re.findall(r"experiment=(\w+)", "\n".join(EVERY)):
        assert plan(load_experiment(name, []))


def test_each_command_reads_what_earlier_ones_wrote():
    written = set()
    for command in filter(script_of, WORKFLOW):
        for script, config in jobs(command):
            if script != "mm/finetune":
                assert config.model_path in written
            written.add(f"{config.model_path}/eval_results" if script == "mm/eval" else config.save_dir)
    aggregate = load("aggregate_eval_stat", [], AggregateConfig)
    assert str(Path(aggregate.retain_result).parent) in written
    assert str(Path(aggregate.ckpt_result).parent) in written


def run_workflow(folder, extra):
    """Run the commands in `folder`, which sees the project's scripts and nothing else of it; return the last output."""
    for name in ("mm", "aggregate_eval_stat.py"):
        (folder / name).symlink_to(PROJECT / name)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
    output = ""
    for command in WORKFLOW:
        if command.startswith("export"):
            key, value = command.removeprefix("export ").split("=")
            environment[key] = value
            continue
        found = script_of(command)
        line = command if found is None else f"{command} {extra(found[0])}"
        options = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
        done = subprocess.run(line, shell=True, check=False, **options)
        assert done.returncode == 0, f"{line}\n{done.stderr[-3000:]}"
        output = done.stdout
    return output


def test_the_workflow_runs_with_a_tiny_model(tmp_path, tiny_llava):
    # A folder of its own: the project's may be of another version of the generator.
    data = f"data.path={tmp_path / 'data/clear'} data.text_path={tmp_path / 'data/tofu'}"
    family = f"model_family.hub_id={tiny_llava} max_length=1024"
    table = run_workflow(tmp_path, lambda script: " ".join([family, data, *QUICK[script]]))
    assert "Forget Quality" in table
    assert (tmp_path / "runs/mini_llava/npo.csv").read_text().count("\n") == 2


@pytest.mark.slow
def test_the_workflow_runs_as_printed(tmp_path):
    table = run_workflow(tmp_path, lambda script: "")
    assert "Forget Quality" in table

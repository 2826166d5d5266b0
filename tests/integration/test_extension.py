"""A newcomer adds a method by the README: one file, one YAML, no other edit, in a copy of the tree."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from unlearn.config.loading import PROJECT

README = (PROJECT / "README.md").read_text()
PARTS = ("unlearn", "config", "mm", "nlp", "pyproject.toml")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The project without tests and runs, with the README's method in it."""
    folder = tmp_path_factory.mktemp("tree")
    for part in PARTS:
        source = PROJECT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    section = README.split("## Add your own")[1]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL).group(1)
    yaml = re.search(r"```yaml\n(.*?)```", section, re.DOTALL).group(1)
    (folder / "unlearn/methods/my_method.py").write_text(code)
    (folder / re.match(r"# (config/\S+\.yaml)", yaml).group(1)).write_text(yaml)
    return folder


def run(tree, *arguments):
    command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--cpu", "--num_processes", "1"]
    options = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "mm/forget.py"]
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *options, *arguments], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )


def test_the_new_method_runs_and_is_listed(tree, overrides, tmp_path):
    out = tmp_path / "run"
    given = ("forget_loss=my_method", f"save_dir={out}", "num_epochs=2", "batch_size=3", "lr=1e-2", "LoRA.r=0")
    done = run(tree, *overrides(), *given)
    assert done.returncode == 0, done.stderr[-3000:]
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert log[-1]["forget_0"] < log[0]["forget_0"]
    assert json.loads((out / "done.json").read_text())["cost"]["steps"] == 2
    assert "my_method" in run(tree, "--help").stdout
    assert not (PROJECT / "unlearn/methods/my_method.py").exists()

# The stages of an experiment as a graph:  snakemake --cores 2 --config experiment=demo
# What they are is decided in unlearn/experiment/plan.py; overrides="root=runs/other gold_seeds=[0]" changes its keys,
# split as a shell splits words: overrides="submitted_by='Jane Doe' root=runs/other" (Snakemake drops quotes at its ends).
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from unlearn.entry import split_overrides
from unlearn.errors import UserError
from unlearn.experiment.config import load_experiment
from unlearn.experiment.launch import check_root
from unlearn.experiment.plan import plan

try:
    experiment = load_experiment(str(config.get("experiment", "demo")), split_overrides(str(config.get("overrides", ""))))
    check_root(Path(experiment.root))
    stages = plan(experiment)
except UserError as error:
    raise WorkflowError(str(error)) from None

LAUNCH = (sys.executable, "-m", "unlearn.experiment.launch")


def command_line(stage):
    about = ("--root", stage.root, "--stage", stage.name, "--digest", stage.digest)
    numbers = ("--threads", stage.threads, "--processes", stage.processes)
    return shlex.join(map(str, (*LAUNCH, *about, *numbers, "--", *stage.command)))


needed = {marker for stage in stages for marker in stage.inputs}


rule all:
    input: [str(stage.marker) for stage in stages if stage.marker not in needed]
    message: f"done: {experiment.outcome}"


for stage in stages:
    rule:
        name: stage.name
        input: [str(marker) for marker in stage.inputs]
        output: str(stage.marker)
        threads: stage.cores
        resources:
            runtime=stage.minutes,
            mem_mb=stage.mem_mb,
            gpu=stage.gpus,
            cpus_per_task=stage.cores,
            nodes=1,
        message: f"{stage.name}: log in {stage.root}/logs/{stage.name}.log"
        # `shell` itself would be read after the loop, when `stage` is the last one; and of a function's result
        # (unlike a text's) Snakemake does not take the braces for wildcards.
        params: command=lambda wildcards, line=command_line(stage): line
        shell: "{params.command}"

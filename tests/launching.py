"""`accelerate launch` as a user types it."""

import os
import subprocess
import sys

PATIENCE = 900
"""Seconds for a launch."""
PLAIN = ("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0")
"""Options that are asked for where no file answers."""
ON_CPU = {"ACCELERATE_USE_CPU": "true"}


def of_processes(count):
    """Return the options for so many processes without a GPU (given --cpu, two of them would silently become one)."""
    return ("--multi_gpu" if count > 1 else "--cpu", "--num_processes", str(count), *PLAIN)


def launch(*arguments, environment=ON_CPU):
    """Launch, with nothing in the environment but what is here and this; fail with the errors that were written.

    Processes that wait for each other for ever are ended.
    """
    command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", *map(str, arguments)]
    variables = {**os.environ, **environment, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True)
    try:
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors[-6000:]
    finally:
        # The workers are in sessions of their own; the launcher ends them when it is asked to end.
        process.terminate()
        process.wait(60)

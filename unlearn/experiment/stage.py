"""The runs of a stage in one process, each through the `main` of its entry script.

    accelerate launch -m unlearn.experiment.stage mm/forget forget_loss=npo + forget_loss=grad_ascent lr=1e-4

is `mm/forget.py forget_loss=npo` and then `mm/forget.py forget_loss=grad_ascent lr=1e-4`, without a second start of
Python. A sweep (`mm/forget.py -m forget_loss=npo,grad_ascent`) cannot give each run its own overrides.

With `--trials` before the script, runs are trials of a sweep: one whose loss is not finite, in training or evaluation,
is an outcome, which is noted in its folder and neither repeated nor evaluated.
"""

import argparse
import gc
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unlearn.errors import NonFiniteLossError, UserError
from unlearn.experiment.scripts import script_config, script_main
from unlearn.experiment.stages import NEXT
from unlearn.models.folders import resolve_chain
from unlearn.run import Run, lying_in, open_run

log = logging.getLogger(__name__)


def split_runs(arguments: Sequence[str]) -> list[list[str]]:
    """Return the overrides of each run: `arguments` cut at every separator."""
    runs: list[list[str]] = [[]]
    for text in arguments:
        if text == NEXT:
            runs.append([])
        else:
            runs[-1].append(text)
    return runs


def run_all(script: str, runs: Sequence[list[str]], trials: bool) -> list[UserError]:
    """Run `script` once per list of overrides and return the failures: a run that fails does not stop the others.

    But of several processes the first that fails ends, and the launcher ends the others, which may wait for it.
    trials  a loss that is not finite is no failure
    All configs are built first, so that nothing begins if one is wrong.
    """
    main, configs = script_main(script), [script_config(script, overrides) for overrides in runs]
    start = _try if trials else lambda main, config: main(config)
    failures = []
    for overrides, config in zip(runs, configs, strict=True):
        log.info("accelerate launch %s.py %s", script, shlex.join(overrides))
        try:
            start(main, config)
        except UserError as error:
            if int(os.environ.get("WORLD_SIZE", "1")) > 1:
                raise
            log.error("error: %s", error)
            failures.append(error)
        # Models are full of reference cycles; the next run should not find the last one's in memory.
        gc.collect()
    return failures


def _try(main: Any, config: Any) -> None:
    """Run or evaluate a trial, unless it is known to be given up; note it where that happens now."""
    run = _run_of(config)
    if run.stopped:
        log.info("%s is given up, since its loss is not finite: nothing to do.", run.folder)
        return
    try:
        main(config)
    except NonFiniteLossError as error:
        from accelerate import PartialState

        log.warning("%s is given up: %s", run.folder, error)
        # The state of what stopped, which every process has.
        if PartialState().is_main_process:
            run.stop(str(error))


def _run_of(config: Any) -> Run:
    """Return the run that a trial is: of its own config, or the one whose model is to be evaluated."""
    if not hasattr(config, "forget_loss"):
        return lying_in(Path(config.model_path))
    return open_run(config, resolve_chain(config.model_path).newest_first(), config.overwrite_dir)


def launch(arguments: Sequence[str]) -> int:
    """Run a stage's command line and return the exit status: 2 if a run failed."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("accelerate").setLevel(logging.WARNING)
    parser = argparse.ArgumentParser(prog="python -m unlearn.experiment.stage", description=__doc__)
    parser.add_argument("--trials", action="store_true")
    parser.add_argument("script")
    parser.add_argument("runs", nargs=argparse.REMAINDER)
    given = parser.parse_args(arguments)
    try:
        return 2 if run_all(given.script, split_runs(given.runs), given.trials) else 0
    except UserError as error:
        log.error("error: %s", error)
        return 2


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))

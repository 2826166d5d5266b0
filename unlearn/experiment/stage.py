"""The runs of a stage in one process, each through the `main` of its entry script.

    accelerate launch -m unlearn.experiment.stage mm/forget forget_loss=npo + forget_loss=grad_ascent lr=1e-4

is `mm/forget.py forget_loss=npo` and then `mm/forget.py forget_loss=grad_ascent lr=1e-4`, without a second start of
Python. A sweep (`mm/forget.py -m forget_loss=npo,grad_ascent`) cannot give each run its own overrides.
"""

import gc
import logging
import shlex
import sys
from collections.abc import Sequence

from unlearn.errors import UserError
from unlearn.experiment.plan import NEXT
from unlearn.experiment.scripts import script_config, script_main

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


def run_all(script: str, runs: Sequence[list[str]]) -> list[UserError]:
    """Run `script` once per list of overrides and return the failures: a run that fails does not stop the others.

    All configs are built first, so that nothing begins if one is wrong.
    """
    main, configs = script_main(script), [script_config(script, overrides) for overrides in runs]
    failures = []
    for overrides, config in zip(runs, configs, strict=True):
        log.info("accelerate launch %s.py %s", script, shlex.join(overrides))
        try:
            main(config)
        except UserError as error:
            log.error("error: %s", error)
            failures.append(error)
        # Models are full of reference cycles; the next run should not find the last one's in memory.
        gc.collect()
    return failures


def launch(arguments: Sequence[str]) -> int:
    """Run a stage's command line and return the exit status: 2 if a run failed."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("accelerate").setLevel(logging.WARNING)
    try:
        return 2 if run_all(arguments[0], split_runs(arguments[1:])) else 0
    except UserError as error:
        log.error("error: %s", error)
        return 2


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))

"""One row of results: how far a model forgot, and what it kept, against gold (finetuned without what is forgotten).

    python aggregate_eval_stat.py
    python aggregate_eval_stat.py retain_result=runs/mini/gold/eval_results/eval_log_aggregated.json \\
        ckpt_result=runs/mini/npo/eval_results/eval_log_aggregated.json method_name=npo save_file=runs/mini/npo.csv

Reads the evaluation logs of multimodal models and of TOFU, those of TOFU's own code included.
"""

import sys
from dataclasses import fields

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from unlearn.config.loading import PROJECT, first_line, to_object
from unlearn.errors import UserError
from unlearn.metrics.aggregate import AggregateConfig, aggregate
from unlearn.metrics.table import rows_to_markdown, save_rows, transposed


def main(cfg: AggregateConfig) -> dict:
    """Compare the evaluation log of a model with gold's and write one row of results."""
    row = aggregate(cfg)
    save_rows([row], cfg.save_file)
    sys.stdout.write(rows_to_markdown(transposed([row], "Method")) + f"\nwritten to {cfg.save_file}\n")
    return dict(row)


def launch() -> None:
    """Compose the config with the command line's overrides and run `main`; mistakes are one sentence and status 2."""
    ConfigStore.instance().store(name="aggregate_eval_stat_schema", node=AggregateConfig)
    try:
        with initialize_config_dir(str(PROJECT / "config"), version_base="1.3"):
            config = compose("aggregate_eval_stat", overrides=sys.argv[1:])
        main(to_object(config, AggregateConfig))
    except (UserError, HydraException, OmegaConfBaseException) as error:
        keys = ", ".join(key.name for key in fields(AggregateConfig))
        message = (
            error if isinstance(error, UserError) else f"{first_line(error.__cause__ or error)}; keys are: {keys}."
        )
        sys.stderr.write(f"error: {message}\n")
        sys.exit(2)


if __name__ == "__main__":
    launch()

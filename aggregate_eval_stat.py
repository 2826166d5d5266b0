"""One row of results: how far a model forgot, and what it kept, against gold (finetuned without what is forgotten).

    python aggregate_eval_stat.py
    python aggregate_eval_stat.py ckpt_result=runs/mini_llava/grad_ascent/eval_results/eval_log_aggregated.json \\
        method_name=grad_ascent save_file=runs/mini_llava/grad_ascent.csv

Reads the evaluation logs of multimodal models and of TOFU, those of TOFU's own code included.
"""

import sys

from unlearn.entry import launch
from unlearn.metrics.aggregate import AggregateConfig, aggregate
from unlearn.metrics.table import rows_to_markdown, save_rows, transposed


def main(cfg: AggregateConfig) -> dict:
    """Compare the evaluation log of a model with gold's and write one row of results."""
    row = aggregate(cfg)
    save_rows([row], cfg.save_file)
    sys.stdout.write(rows_to_markdown(transposed([row], "Method")) + f"\nwritten to {cfg.save_file}\n")
    return dict(row)


if __name__ == "__main__":
    launch("aggregate_eval_stat", AggregateConfig, main)

"""Evaluate a vision-language model: what it still says about the people it was to forget, and about everyone else.

    accelerate launch mm/eval.py                                            the model that mm/forget.py made
    accelerate launch mm/eval.py model_path=runs/mini_llava/full            the base model
    accelerate launch mm/eval.py -m model_path=runs/mini_llava/full,runs/mini_llava/npo     several in one process
    accelerate launch mm/eval.py -m stress=relearn_forget,int4              whether forgetting holds (config/stress)

Results: <model_path>/eval_results[_<stress>]/{<task>.jsonl, eval_log_aggregated.json, manifest.json}
"""

import logging
from pathlib import Path

from unlearn.config.scripts import EvalConfig
from unlearn.entry import launch

log = logging.getLogger("eval")


def main(cfg: EvalConfig) -> Path:
    """Evaluate a vision-language model on the tasks of config/task and write records and an aggregated log."""
    from unlearn.data.rows import prepare
    from unlearn.data.views import check_splits
    from unlearn.evaluation.harness import measure_utility, plan_utility
    from unlearn.evaluation.origin import check_origin
    from unlearn.evaluation.plan import Settings, plan_evaluation
    from unlearn.evaluation.runner import evaluate
    from unlearn.evaluation.tasks import load_tasks
    from unlearn.models.loading import load_encoder, load_model
    from unlearn.processes import process_state

    # What can be wrong is found out before any weight is read.
    check_splits(cfg.forget_split, cfg.retain_split)
    check_origin(cfg)
    stress = cfg.stress.arrange(cfg)
    tasks = load_tasks(cfg.tasks)
    prepare(cfg.data)
    settings = Settings(
        tasks=tasks,
        data=cfg.data,
        model_family=cfg.model_family,
        model_path=cfg.model_path,
        forget_split=cfg.forget_split,
        retain_split=cfg.retain_split,
        forget_modality=cfg.forget_modality,
        seed=cfg.data.question_seed,
        batch_size=cfg.batch_size,
        max_length=cfg.max_length,
        metrics=cfg.metrics,
        gradient_norm=cfg.gradient_norm,
        stress=stress.stressed,
    )
    plan = plan_evaluation(settings, None if cfg.save_dir is None else Path(cfg.save_dir), cfg.overwrite_dir)
    utility = plan_utility(cfg.eval, plan)
    if plan.finished() is not None and utility.finished():
        log.info("%s already holds these results: nothing to do.", plan.out)
        return plan.out

    device = process_state().device
    encoder = load_encoder(cfg.model_family, cfg.model_path)
    model = stress.apply(load_model(cfg.model_family, cfg.model_path).to(device), encoder)
    evaluate(model, encoder, plan)
    measure_utility(utility, model, encoder)
    log.info("results in %s", plan.out)
    return plan.out


if __name__ == "__main__":
    launch("mm/eval", EvalConfig, main)

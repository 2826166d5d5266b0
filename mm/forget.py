"""Make a finetuned vision-language model forget some of its people.

accelerate launch mm/forget.py                                          NPO on the mini benchmark's base model
accelerate launch mm/forget.py forget_loss=grad_ascent                  another method (a file of config/forget_loss)
accelerate launch mm/forget.py -m forget_loss=npo,grad_ascent           several, one after the other
accelerate launch mm/forget.py preset=clear_llava forget_loss=npo       the CLEAR paper's data and hyper-parameters
"""

import logging
from pathlib import Path

from unlearn.config.scripts import ForgetConfig
from unlearn.entry import launch

log = logging.getLogger("forget")


def main(cfg: ForgetConfig) -> Path:
    """Make a finetuned vision-language model forget: an unlearning method of config/forget_loss on `model_path`."""
    from unlearn.data.pictures import check_pictures
    from unlearn.data.refusals import refusal_samples
    from unlearn.data.views import check_splits, forget_and_retain
    from unlearn.engine import start_accelerator, start_run
    from unlearn.models.checkpoint import save_checkpoint
    from unlearn.models.loading import load_encoder, load_model, read_depth, resolve_start
    from unlearn.models.trainable import make_trainable
    from unlearn.reference import build
    from unlearn.routing import route
    from unlearn.run import open_run
    from unlearn.sharding import autocast
    from unlearn.state import remove
    from unlearn.trainer import Trainer

    # What can be wrong is found out before any weight is read.
    check_splits(cfg.forget_split, cfg.retain_split)
    chain = resolve_start(cfg.model_family, cfg.model_path)
    run = open_run(cfg, chain.newest_first(), cfg.overwrite_dir)
    if run.done:
        log.info("%s is this very run, and it ended: nothing to do.", run.folder)
        return run.folder
    forget, retain = forget_and_retain(
        cfg.data,
        cfg.forget_split,
        cfg.retain_split,
        cfg.forget_modality,
        cfg.data.question_seed,
        cfg.forget_data_path,
        cfg.retain_data_path,
    )
    sets = {"forget": forget, "retain": retain, "refusals": refusal_samples(cfg.refusals_path)}
    check_pictures((sample.uid, sample.image) for sample in [*forget, *retain])
    encoder = load_encoder(cfg.model_family, cfg.model_path)
    method = cfg.method()
    depth = read_depth(cfg.model_family, chain)
    layers = method.trained_layers(depth)

    accelerator = start_accelerator(run, cfg, method)
    if method.routes:
        model = load_model(cfg.model_family, cfg.model_path)
        route(cfg, sets, model, encoder, accelerator, run, chain.newest_first()[0])
        return run.folder
    model = make_trainable(load_model(cfg.model_family, cfg.model_path), cfg, layers)
    precision = autocast(accelerator, cfg)
    reference = build(model.to(accelerator.device), precision) if method.needs_reference() else None
    start_run(run, cfg, accelerator, model, sets)

    cost = Trainer(cfg, method, sets, model, encoder, reference, accelerator, run, depth).train()

    if accelerator.is_main_process:
        save_checkpoint(model, encoder, run.folder, chain.newest_first()[0], cfg.merge_adapter)
        run.end({"cost": cost})
        remove(run.folder)
    accelerator.wait_for_everyone()
    log.info("saved to %s", run.folder)
    return run.folder


if __name__ == "__main__":
    launch("mm/forget", ForgetConfig, main)

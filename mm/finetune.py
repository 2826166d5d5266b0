"""Finetune a vision-language model on people who do not exist.

accelerate launch mm/finetune.py                            base: all people of the mini benchmark
accelerate launch mm/finetune.py split=retain90             gold: without those to be forgotten
accelerate launch mm/finetune.py preset=clear_llava         the CLEAR paper's data, model, hyper-parameters
CUDA_VISIBLE_DEVICES=1 accelerate launch mm/finetune.py preset=clear_qwen2_vl lr=2e-5 save_dir=runs/mine
"""

import logging
from pathlib import Path

from unlearn.config.scripts import FinetuneConfig
from unlearn.entry import launch

log = logging.getLogger("finetune")


def main(cfg: FinetuneConfig) -> Path:
    """Finetune a vision-language model: the base model (split=full) or gold (split=retain90)."""
    from unlearn.data.pictures import check_pictures
    from unlearn.data.views import check_split, rehearsal_samples, training_samples
    from unlearn.engine import start_accelerator, start_run
    from unlearn.methods.finetune import Finetune
    from unlearn.models.checkpoint import save_checkpoint
    from unlearn.models.loading import load_encoder, load_model, resolve_start
    from unlearn.models.trainable import make_trainable
    from unlearn.run import open_run
    from unlearn.state import remove
    from unlearn.trainer import Trainer

    # What can be wrong is found out before any weight is read.
    check_split(cfg.split)
    chain = resolve_start(cfg.model_family, cfg.model_path)
    run = open_run(cfg, chain.newest_first(), cfg.overwrite_dir)
    if run.done:
        log.info("%s is this very run, and it ended: nothing to do.", run.folder)
        return run.folder
    people = training_samples(cfg.data, cfg.split, cfg.forget_modality, cfg.data.question_seed)
    sets = {"train": people + rehearsal_samples(cfg.data)}
    check_pictures((sample.uid, sample.image) for sample in sets["train"])
    encoder = load_encoder(cfg.model_family, cfg.model_path)

    method = Finetune()
    accelerator = start_accelerator(run, cfg, method)
    model = make_trainable(load_model(cfg.model_family, cfg.model_path), cfg)
    start_run(run, cfg, accelerator, model, sets)

    cost = Trainer(cfg, method, sets, model, encoder, None, accelerator, run).train()

    if accelerator.is_main_process:
        save_checkpoint(model, encoder, run.folder, chain.newest_first()[0], cfg.merge_adapter)
        run.end({"cost": cost})
        remove(run.folder)
    accelerator.wait_for_everyone()
    log.info("saved to %s", run.folder)
    return run.folder


if __name__ == "__main__":
    launch("mm/finetune", FinetuneConfig, main)

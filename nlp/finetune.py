"""Finetune a language model on authors who do not exist (TOFU, Maini et al. 2024, arXiv:2401.06121).

accelerate launch nlp/finetune.py                            base: all people of the mini benchmark's texts
accelerate launch nlp/finetune.py split=retain90             gold: without those to be forgotten
accelerate launch nlp/finetune.py preset=tofu_llama2         the paper's data, model, hyper-parameters
accelerate launch nlp/finetune.py model_family=pythia-1.4b data=tofu data.text_path=/my/TOFU save_dir=runs/mine
"""

import logging
from pathlib import Path

from unlearn.config.scripts import FinetuneConfig
from unlearn.entry import launch

log = logging.getLogger("finetune")


def main(cfg: FinetuneConfig) -> Path:
    """Finetune a language model: the base model (split=full) or gold (split=retain90)."""
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
    launch("nlp/finetune", FinetuneConfig, main)

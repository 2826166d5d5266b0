"""Make finetuned face networks forget the people of their block: one method, one network per split.

accelerate launch cv/forget.py                                retain_ft on all models of the mini study
accelerate launch cv/forget.py forget_loss=scrub_bio          another method (a file of config/forget_loss)
accelerate launch cv/forget.py -m forget_loss=scrub,npo       several, one after the other
accelerate launch cv/forget.py l1_lambda=1e-4 l1_decay=true save_dir=runs/cv/sparsity      retain_ft with sparse weights
accelerate launch cv/forget.py splits=0-63                    a range; the files are the same however it is divided
accelerate launch cv/forget.py face_preset=correct            CLEAR's pictures and hyper-parameters (needs the Hub)
"""

import logging
from pathlib import Path

from unlearn.config.faces import FaceForget
from unlearn.entry import launch

log = logging.getLogger("forget")


def main(cfg: FaceForget) -> Path:
    """Make one face network per split forget: an unlearning method of config/forget_loss on `model_path`."""
    from unlearn.faces.album import load_album, splits_of
    from unlearn.faces.encoder import FaceEncoder
    from unlearn.faces.network import build, load
    from unlearn.faces.runs import device, folder_of, mine, of_model_number, open_model, train

    # What can be wrong is found out before any weight is read.
    album = load_album(cfg.face_data)
    reserved = album.enrolment(cfg.face_data.enrolment) if cfg.reserve else {}
    splits = splits_of(cfg, album)
    todo = []
    for index in mine(cfg.selected()):
        own = of_model_number(cfg, index)
        start = folder_of(cfg.model_path, index)
        run = open_model(own, [album.fingerprint, splits[index].fingerprint], start)
        todo += [] if run.done else [(splits[index], own, run, start)]
    log.info("%d of %d models are to forget", len(todo), len(cfg.selected()))
    pictures = album.pixels(cfg.face_model.side).to(device())
    rows = {uid: row for row, uid in enumerate(album.uids)}

    for split, own, run, start in todo:
        people = (*split.retain, *split.forget)
        net = build(cfg.face_model, len(people), pictures, own.seed)
        load(net, start)
        retain = album.samples(split.retain, reserved)
        # The answer that a refusal is to a question, a wrong person is to a face.
        sets = {"forget": album.samples(split.forget, reserved), "retain": retain, "refusals": retain}
        layers = cfg.forget_loss.trained_layers(net.depth)
        train(own, run, cfg.forget_loss, sets, net, FaceEncoder(rows, people), {"split": split.index}, layers)
    log.info("saved to %s", cfg.save_dir)
    return Path(cfg.save_dir)


if __name__ == "__main__":
    launch("cv/forget", FaceForget, main)

"""Train a face network on celebrities, whom no split of people has: what every model of the study starts from.

accelerate launch cv/pretrain.py                                     the mini benchmark's network -> runs/cv/pretrained
accelerate launch cv/pretrain.py face_model=resnet18 face_data=clear face_data.celebrities_path=/my/celebrities
"""

import logging
from pathlib import Path

from unlearn.config.faces import FaceTraining
from unlearn.entry import launch

log = logging.getLogger("pretrain")


def main(cfg: FaceTraining) -> Path:
    """Train a face network on the celebrities of config/face_data: SGD on AM-softmax."""
    from unlearn.faces.album import celebrities
    from unlearn.faces.encoder import FaceEncoder
    from unlearn.faces.network import build
    from unlearn.faces.runs import device, mine, open_model, train
    from unlearn.methods.finetune import Finetune

    # Several processes would train one and the same network: the first does.
    first = mine([0]) == [0]
    album = celebrities(cfg.face_data)
    run = open_model(cfg, [album.fingerprint], None)
    if run.done or not first:
        log.info("%s is this very run, and it ended, or another process does it: nothing to do.", run.folder)
        return run.folder
    people = list(album.rows_of)
    net = build(cfg.face_model, len(people), album.pixels(cfg.face_model.side).to(device()), cfg.seed)
    sets = {"train": album.samples(people, {})}
    encoder = FaceEncoder({uid: row for row, uid in enumerate(album.uids)}, people)

    train(cfg, run, Finetune(), sets, net, encoder, {"album": album.fingerprint})
    log.info("saved to %s", run.folder)
    return run.folder


if __name__ == "__main__":
    launch("cv/pretrain", FaceTraining, main)

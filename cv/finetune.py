"""Finetune one face network per split of the people: the models that are to forget, or gold, which never saw them.

accelerate launch cv/finetune.py                              all models of the mini study -> runs/cv/original/000, ...
accelerate launch cv/finetune.py role=gold                    gold: on the retained people alone -> runs/cv/gold
accelerate launch cv/finetune.py splits=0-63                  a range; the files are the same however it is divided
"""

import logging
from pathlib import Path

from unlearn.config.faces import FaceFinetune
from unlearn.entry import launch

log = logging.getLogger("finetune")


def main(cfg: FaceFinetune) -> Path:
    """Finetune one face network per split: on all of its people, or for gold on those that it retains."""
    from unlearn.config.faces import Role
    from unlearn.faces.album import load_album, splits_of
    from unlearn.faces.encoder import FaceEncoder
    from unlearn.faces.network import build, load
    from unlearn.faces.runs import device, mine, of_model_number, open_model, train
    from unlearn.methods.finetune import Finetune

    # What can be wrong is found out before any weight is read.
    album = load_album(cfg.face_data)
    reserved = album.enrolment(cfg.face_data.enrolment) if cfg.reserve else {}
    splits = splits_of(cfg, album)
    start = None if cfg.model_path is None else Path(cfg.model_path)
    todo = []
    for index in mine(cfg.selected()):
        own = of_model_number(cfg, index)
        run = open_model(own, [album.fingerprint, splits[index].fingerprint], start)
        todo += [] if run.done else [(splits[index], own, run)]
    log.info("%d of %d models are to be trained", len(todo), len(cfg.selected()))
    pictures = album.pixels(cfg.face_model.side).to(device())
    rows = {uid: row for row, uid in enumerate(album.uids)}

    for split, own, run in todo:
        people = split.retain if cfg.role is Role.gold else (*split.retain, *split.forget)
        net = build(cfg.face_model, len(people), pictures, own.seed)
        if start is not None:
            load(net, start, rows=False)
        sets = {"train": album.samples(people, reserved)}
        train(own, run, Finetune(), sets, net, FaceEncoder(rows, people), {"split": split.index})
    log.info("saved to %s", cfg.save_dir)
    return Path(cfg.save_dir)


if __name__ == "__main__":
    launch("cv/finetune", FaceFinetune, main)

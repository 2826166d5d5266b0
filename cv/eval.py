"""Embed all pictures by every model of a method: the one tensor that every score and attack is made from.

accelerate launch cv/eval.py                                  -> runs/cv/retain_ft/000/eval_results, ...
accelerate launch cv/eval.py -m model_path=runs/cv/original,runs/cv/gold,runs/cv/retain_ft
"""

import logging
from pathlib import Path

from unlearn.config.faces import FaceEval
from unlearn.entry import launch

log = logging.getLogger("eval")


def main(cfg: FaceEval) -> Path:
    """Write the embeddings of all pictures of config/face_data by every model under `model_path`."""
    from unlearn.faces.album import load_album
    from unlearn.faces.embeddings import embedded, write_embeddings
    from unlearn.faces.runs import device, folder_of, mine

    album = load_album(cfg.face_data)
    todo = [index for index in mine(cfg.selected()) if not embedded(folder_of(cfg.model_path, index), album)]
    log.info("%d of %d models are to be embedded", len(todo), len(cfg.selected()))
    pictures = album.pixels(cfg.face_model.side).to(device())
    for index in todo:
        write_embeddings(folder_of(cfg.model_path, index), cfg.face_model, album, pictures, cfg.batch_size)
    log.info("embeddings in %s", cfg.model_path)
    return Path(cfg.model_path)


if __name__ == "__main__":
    launch("cv/eval", FaceEval, main)

"""Attack unlearned face networks, and say how far they are from gold: one row a method, from stored embeddings.

accelerate launch cv/attack.py                                the mini study's retain_ft -> runs/cv/summary.md, ...
accelerate launch cv/attack.py methods=[runs/cv/npo,runs/cv/scrub]
accelerate launch cv/attack.py protocol=released              models of cv/finetune.py reserve=false, as published
"""

import logging
from pathlib import Path

from unlearn.config.faces import FaceAttack
from unlearn.entry import launch

log = logging.getLogger("attack")


def main(cfg: FaceAttack) -> Path:
    """Score and attack the embeddings that cv/eval.py stored of original, gold and unlearned models."""
    from unlearn.faces.album import load_album, splits_of
    from unlearn.faces.embeddings import read_embeddings
    from unlearn.faces.study import models_of, study_of
    from unlearn.metrics.faces.enrolment import cosines
    from unlearn.report.faces import Subject, judge, kind_of, write_report

    # What can be wrong is found out before any embedding is read.
    album = load_album(cfg.face_data)
    splits = splits_of(cfg, album)
    folders = {root: models_of(cfg, root, splits) for root in (cfg.gold, cfg.original, *cfg.methods)}
    study = study_of(album, splits, cfg.face_data.enrolment)

    # Gold is what all are compared with; the embeddings of one method after the other fit in memory.
    gold, results = None, {}
    for root, models in folders.items():
        embeddings = read_embeddings(models, album)
        seen = cosines(embeddings, study.roster, cfg.protocol, cfg.face_model.scale)
        gold = gold or seen
        subject = Subject(Path(root).name, kind_of(cfg, root), models, embeddings, seen)
        results[root] = judge(subject, gold, study, cfg)
        log.info("%s: U-LIRA AUC %.3f", root, results[root].entry.row["U-LIRA AUC"])
    write_report(cfg, [results[root] for root in (cfg.original, cfg.gold, *cfg.methods)], study, album.fingerprint)
    log.info("the table is %s/summary.md", cfg.save_dir)
    return Path(cfg.save_dir)


if __name__ == "__main__":
    launch("cv/attack", FaceAttack, main)

"""Make the texts and the untrained model of experiment `tofu_small`.

    python -m unlearn.tofu_small source=/my/TOFU save_dir=runs/tofu_small/prepared

Writes <save_dir>/texts (a dataset folder), <save_dir>/model and <save_dir>/prepared.json: from what they were made.
The same source and keys give the same bytes.
"""

import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

from unlearn import __version__, fingerprint
from unlearn.entry import launch
from unlearn.errors import UserError
from unlearn.files import write_json
from unlearn.run import plain
from unlearn.tofu_small.authors import Configs, choose, read_source, write_folder
from unlearn.tofu_small.config import TofuSmallConfig

RECORD = "prepared.json"
NO_CONTENT = ("source", "save_dir", "overwrite_dir")
"""Keys that decide nothing of what is made; of the source its rows do."""
log = logging.getLogger("tofu_small")


def main(cfg: TofuSmallConfig) -> None:
    """Choose authors of TOFU, train a tokenizer on their texts and write both with an untrained model."""
    source, folder = read_source(cfg.source), Path(cfg.save_dir)
    configs = choose(source, cfg.forget_authors, cfg.retain_authors, cfg.seed)
    record = {
        "version": __version__,
        "source": fingerprint.of_json(source),
        "keys": plain(cfg, NO_CONTENT),
        "rows": {name: len(rows) for name, rows in configs.items()},
    }
    if _recorded(folder) == record:
        log.info("%s holds this already: nothing to do.", folder)
        return
    if folder.exists() and not cfg.overwrite_dir:
        raise UserError(
            f"save_dir={folder} exists and was not made from this source with these keys; set save_dir to a new "
            f"folder, or replace what is there with overwrite_dir=true."
        )
    _write(folder, configs, record, cfg)
    log.info("texts of %d authors and an untrained model in %s", cfg.forget_authors + cfg.retain_authors, folder)


def _recorded(folder: Path) -> dict[str, Any] | None:
    file = folder / RECORD
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def _write(folder: Path, configs: Configs, record: dict[str, Any], cfg: TofuSmallConfig) -> None:
    """Put everything in its place at once: an interrupted attempt leaves nothing there."""
    from unlearn.tofu_small.model import write_model

    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write_folder(temporary / "texts", configs)
        write_model(temporary / "model", configs, cfg)
        write_json(temporary / RECORD, record)
        temporary.chmod(0o755)  # mkdtemp makes private folders
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


if __name__ == "__main__":
    launch("tofu_small", TofuSmallConfig, main)

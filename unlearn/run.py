"""The folder of a run: whose it is, what it was made from, its log, and the mark that it ended.

config.yaml      the validated configuration        provenance.json  commit, versions, hardware, data, lineage
manifest.json    what trained and what was frozen   log.jsonl        one line per optimiser step
state/           resumable state, gone at the end   done.json        written last, with the cost
stopped.json     of a trial of a sweep that was given up, since its loss is not finite
"""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from unlearn import __version__, fingerprint
from unlearn.data.rows import prepare
from unlearn.errors import UserError
from unlearn.files import write_json, write_text
from unlearn.provenance import FILE, environment, lineage, of_family, software

log = logging.getLogger(__name__)

NOT_IDENTITY = ("overwrite_dir", "num_workers", "save_state_every", "tracker", "save_dir")
"""Keys that do not change the numbers of a run."""

IDENTITY = "run.json"
STOPPED = "stopped.json"
SPLITS = ("split", "forget_split", "retain_split", "forget_modality")
TOLD_OTHERWISE = (
    "model_family", "model_path", "data", "forget_data_path", "retain_data_path", "refusals_path", "forget_loss",
    "loss_beta", "seed", "batch_size", "gradient_accumulation_steps", *SPLITS,
)  # fmt: skip
"""Keys of a run that are no settings of what `described` returns: they have a place of their own, or are paths."""


@dataclass(frozen=True)
class Run:
    """A folder opened for one configuration.

    lineage  of the model that it starts from (unlearn/provenance.py)
    """

    folder: Path
    identity: str
    lineage: Sequence[Mapping[str, Any]] = ()

    @property
    def done(self) -> bool:
        """Tell whether this very run ended in this folder."""
        return _identity_in(self.folder / "done.json") == self.identity

    @property
    def stopped(self) -> bool:
        """Tell whether this very run was given up: its loss, or that of the model that it made, is not finite."""
        return _identity_in(self.folder / STOPPED) == self.identity

    @property
    def begun(self) -> bool:
        """Tell whether this very run began in this folder."""
        return _identity_in(self.folder / IDENTITY) == self.identity

    def begin(self, config: Any, facts: dict[str, Any]) -> None:
        """Write what the run is made from (process 0 only). `facts` are added to the provenance."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / IDENTITY, {"identity": self.identity})
        write_text(self.folder / "config.yaml", as_yaml(config))
        write_json(self.folder / FILE, {**environment(), **facts, "lineage": list(self.lineage)})

    def keep_log(self, steps: int) -> None:
        """Cut the log to the first `steps` steps: those after the last state are taken again."""
        path = self.folder / "log.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        write_text(path, "".join(lines[:steps]))

    def log_step(self, row: dict[str, Any]) -> None:
        """Append one step to log.jsonl."""
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")

    def end(self, facts: dict[str, Any]) -> None:
        """Mark the run as ended."""
        (self.folder / STOPPED).unlink(missing_ok=True)
        write_json(self.folder / "done.json", {"identity": self.identity, "version": __version__, **facts})

    def stop(self, reason: str) -> None:
        """Mark the run as given up: to start it again would end in the same way."""
        write_json(self.folder / STOPPED, {"identity": self.identity, "version": __version__, "reason": reason})


def lying_in(folder: Path) -> Run:
    """Return the run that `folder` holds, whatever its configuration is."""
    return Run(folder, _identity_in(folder / IDENTITY) or "")


def open_run(config: Any, start: list[str], overwrite: bool) -> Run:
    """Return the run of `config` in `config.save_dir`, new, to be resumed or done.

    start  folders of the model that training starts from
    A run from other weights, or on other data under the same path, is another run.
    Raises UserError where the folder holds something else and `overwrite` is false; nothing is changed then.
    """
    folder, content = Path(config.save_dir), fingerprint.of_model(start)
    prepare(config.data)
    data = [fingerprint.of_place(path) for path in sources(config)]
    identity = fingerprint.of_json([plain(config, NOT_IDENTITY), content, data, __version__])
    run = Run(folder, identity, lineage(start, content))
    if folder.exists() and not folder.is_dir():
        raise UserError(f"save_dir={folder} is a file; set save_dir to a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not run.begun and not overwrite:
        raise UserError(
            f"save_dir={folder} already holds another run or other files; set save_dir to a new folder, "
            f"or replace what is there with overwrite_dir=true."
        )
    return run


def sources(config: Any) -> list[str]:
    """Return where a run's training data come from: folders, files and Hub ids."""
    own = (getattr(config, key, None) for key in ("forget_data_path", "retain_data_path", "refusals_path"))
    return [path for path in (config.data.path or config.data.text_path, *own) if path is not None]


def clear(run: Run) -> None:
    """Delete what another run left in the folder (only after `overwrite_dir`); this run's own files stay."""
    if run.folder.is_dir() and not run.begun:
        shutil.rmtree(run.folder)


def plain(value: Any, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a configuration object as plain values, enums by name."""

    def factory(items: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: _plain(item) for key, item in items if key not in without}

    return asdict(value, dict_factory=factory)


def as_yaml(config: Any) -> str:
    """Return a configuration object as YAML."""
    import yaml

    return yaml.safe_dump(plain(config), sort_keys=False)


def described(config: Any, data: Mapping[str, Any], processes: int) -> dict[str, Any]:
    """Return what a run writes of itself for all that is made from it: method, data, splits, settings and seed.

    data       number and fingerprint of the samples of every set
    processes  of the launch: how a batch is divided does not count, its size does
    """
    forgets = hasattr(config, "forget_loss")
    batch = config.batch_size * config.gradient_accumulation_steps * processes
    return {
        "script": "forget" if forgets else "finetune",
        "method": plain(config.method()) if forgets else {"name": "finetune"},
        "splits": {key: value for key, value in plain(config).items() if key in SPLITS},
        "settings": {"global_batch_size": batch, **plain(config, (*NOT_IDENTITY, *TOLD_OTHERWISE))},
        "seed": config.seed,
        "family": of_family(config.model_family),
        "data": dict(data),
        **software(),
    }


def _identity_in(path: Path) -> str | None:
    try:
        return json.loads(path.read_text()).get("identity")
    except (OSError, json.JSONDecodeError):
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.name
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value

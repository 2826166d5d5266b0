"""Dataset configs as rows, from the Hub or a local folder, with pictures as the bytes of their files.

A local folder names its configs in a README.md with a `configs` list, as on the Hub; without one, every `save_to_disk`
sub-folder, every sub-folder with parquet or JSON files and every such file is a config by its name.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearn.config.schema import Data
from unlearn.errors import UserError, unknown

if TYPE_CHECKING:
    from datasets import Dataset

FILES = {".parquet": "parquet", ".json": "json", ".jsonl": "json"}
"""Endings of data files, with the builder of `datasets` that reads them."""

NO_ROWS = "corresponds to no data"
"""What `load_dataset` says of files without rows."""


def prepare(data: Data) -> None:
    """Write the embedded benchmark where `data` is one (`generate_seed`) and its folders are absent.

    Safe to call in every process: one writes, the others wait.
    Raises UserError where a folder exists that holds something else.
    """
    if data.generate_seed is None:
        return
    from filelock import FileLock

    from unlearn.data.mini.dataset import write_mini

    texts = Path(data.text_path)
    texts.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(texts.with_name(f".{texts.name}.lock")):
        write_mini(None if data.path is None else Path(data.path), texts, data.generate_seed)


def load_rows(path: str, config_name: str, columns: Sequence[str]) -> "Dataset":
    """Return the `train` rows of a config with `columns` alone; pictures are {"bytes": ..., "path": ...}, undecoded.

    path  a local folder, or else a Hub id
    Raises UserError for an unknown dataset or config, a missing column and an empty config.
    """
    where = f'config "{config_name}" of "{path}"'
    rows = _train_split(_load(path, config_name), where)
    missing = [column for column in columns if column not in rows.column_names]
    if missing:
        raise UserError(
            f"The {where} has no column {', '.join(missing)}; it has {', '.join(rows.column_names)}: rename there."
        )
    if len(rows) == 0:
        raise _empty(path, config_name)
    return _with_picture_bytes(rows.select_columns(list(columns)), path)


def config_names(path: str) -> list[str]:
    """Return the names of a dataset's configs. Raises UserError for a dataset that does not exist."""
    if Path(path).is_dir():
        return list(_local_configs(Path(path)))
    from datasets import get_dataset_config_names

    try:
        return get_dataset_config_names(path)
    except (OSError, ValueError) as error:
        raise _unavailable(path, error) from error


def _load(path: str, name: str) -> Any:
    """Return a Dataset or a dict of splits."""
    if not Path(path).is_dir():
        return _load_from_hub(path, name)
    configs = _local_configs(Path(path))
    if name not in configs:
        if not configs:
            raise UserError(f'The folder "{path}" holds no dataset; give one with README configs, parquet or JSON.')
        raise unknown(f'config of "{path}"', name, list(configs))
    return _read(configs[name], path, name)


def _load_from_hub(path: str, name: str) -> Any:
    from datasets import load_dataset

    try:
        return load_dataset(path, name)
    except ValueError as error:
        # Asked for only now: a run whose data is cached needs no answer from the Hub.
        if name not in (names := config_names(path)):
            raise unknown(f'config of "{path}"', name, names) from error
        raise _unreadable(path, name, error) from error
    except OSError as error:
        raise _unavailable(path, error) from error


def _local_configs(folder: Path) -> dict[str, Callable[[], Any]]:
    """Return a reader per config: what the README names, or else what files and folders are called."""
    from datasets import load_dataset, load_from_disk

    if names := _readme_configs(folder):
        cache = _cache_of(folder)
        return {name: partial(load_dataset, str(folder), name, cache_dir=cache) for name in names}
    found: dict[str, Callable[[], Any]] = {}
    for entry in sorted(folder.iterdir()):
        if entry.suffix in FILES and entry.is_file():
            found[entry.stem] = partial(load_dataset, FILES[entry.suffix], data_files=str(entry))
        elif (entry / "state.json").exists() or (entry / "dataset_dict.json").exists():
            found[entry.name] = partial(load_from_disk, str(entry))
        elif entry.is_dir() and any(file.suffix in FILES for file in entry.iterdir()):
            found[entry.name] = partial(load_dataset, str(entry))
    return found


def _readme_configs(folder: Path) -> list[str]:
    from huggingface_hub import DatasetCard

    readme = folder / "README.md"
    if not readme.exists():
        return []
    configs = DatasetCard.load(readme).data.to_dict().get("configs") or []
    return [config["config_name"] for config in configs]


def _cache_of(folder: Path) -> str:
    """Return a cache folder that belongs to the present state of `folder`'s files.

    The library keys its cache of a folder with a README by names alone: rewritten files would be read as they were.
    """
    from datasets import config

    files = sorted(file for file in folder.rglob("*") if file.is_file())
    states = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return str(Path(config.HF_DATASETS_CACHE) / f"local-{hashlib.sha256(repr(states).encode()).hexdigest()[:16]}")


def _read(reader: Callable[[], Any], path: str, name: str) -> Any:
    from datasets.exceptions import DatasetsError

    try:
        return reader()
    except IndexError as error:  # what the library says of a save_to_disk folder without rows
        raise _empty(path, name) from error
    except (OSError, ValueError, DatasetsError) as error:
        if NO_ROWS in str(error):
            raise _empty(path, name) from error
        raise _unreadable(path, name, error) from error


def _train_split(loaded: Any, where: str) -> "Dataset":
    """Every config of CLEAR and TOFU has the one split `train`; a lone split of another name is taken too."""
    if not isinstance(loaded, dict):
        return loaded
    if "train" in loaded or len(loaded) == 1:
        return loaded.get("train", next(iter(loaded.values())))
    raise UserError(f'The {where} has the splits {", ".join(loaded)}; one named "train" is needed.')


def _with_picture_bytes(rows: "Dataset", path: str) -> "Dataset":
    """Return rows whose pictures carry their bytes; JSON files name picture files, relative to the dataset's folder."""
    from datasets import Image

    if "image" not in rows.column_names:
        return rows
    rows = rows.cast_column("image", Image(decode=False))
    if all(cell is None or cell["bytes"] is not None for cell in _cells(rows)):
        return rows
    cells = [_read_picture(cell, Path(path)) for cell in _cells(rows)]
    return rows.remove_columns("image").add_column("image", cells, feature=Image(decode=False))


def _cells(rows: "Dataset") -> Iterator[dict[str, Any] | None]:
    for batch in rows.select_columns(["image"]).iter(batch_size=64):
        yield from batch["image"]


def _read_picture(cell: dict[str, Any] | None, folder: Path) -> dict[str, Any] | None:
    if cell is None or cell["bytes"] is not None:
        return cell
    file = folder / cell["path"]
    if not file.is_file():
        raise UserError(f'The picture "{cell["path"]}" does not exist in "{folder}"; restore it or drop its row.')
    return {"bytes": file.read_bytes(), "path": cell["path"]}


def _empty(path: str, name: str) -> UserError:
    return UserError(f'Config "{name}" of "{path}" is empty; at least one row is needed.')


def _unavailable(path: str, error: Exception) -> UserError:
    return UserError(
        f'The dataset "{path}" is neither a local folder nor can it be had from the Hub ({type(error).__name__}); '
        f"correct data.path or data.text_path, or connect."
    )


def _unreadable(path: str, name: str, error: Exception) -> UserError:
    cause = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
    return UserError(f'Config "{name}" of "{path}" cannot be read: {cause[0].rstrip(".")}; restore its files.')

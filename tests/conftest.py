"""Fixtures of every test: the tiny models of tests/tiny_models.py as folders and as model families."""

import os
from pathlib import Path

import pytest
from tiny_models import TINY, TINY_TEXT, png

# Tiny tensors: a second thread costs more than it gives, and on a busy machine a hundred times more. Children inherit.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folder of a complete tiny model of every architecture (read only: copy it before changing it)."""
    root = tmp_path_factory.mktemp("models")
    for name, tiny in (TINY | TINY_TEXT).items():
        tiny.write(root / f"tiny_{name}")
    return {name: root / f"tiny_{name}" for name in TINY | TINY_TEXT}


@pytest.fixture(scope="session")
def tiny_llava(tiny_folders: dict[str, Path]) -> Path:
    """Folder of the tiny LLaVA (read only)."""
    return tiny_folders["llava"]


@pytest.fixture(scope="session")
def tiny_qwen2_vl(tiny_folders: dict[str, Path]) -> Path:
    """Folder of the tiny Qwen2-VL with tied output layer (read only)."""
    return tiny_folders["qwen2_vl"]


@pytest.fixture(scope="session")
def tiny_families(tiny_folders: dict[str, Path]) -> dict[str, object]:
    """ModelFamily objects of the tiny models by architecture, in float32."""
    from unlearn.config.schema import DType, ModelFamily

    def family(name: str, **own: object) -> ModelFamily:
        return ModelFamily(name=f"tiny_{name}", hub_id=str(tiny_folders[name]), dtype=DType.float32, **own)

    seeing = {name: family(name, **tiny.family) for name, tiny in TINY.items()}
    return seeing | {name: family(name, vision=False, **tiny.family) for name, tiny in TINY_TEXT.items()}


@pytest.fixture(params=list(TINY))
def tiny_family(request: pytest.FixtureRequest, tiny_families: dict[str, object]) -> object:
    """Each tiny family that sees, in turn."""
    return tiny_families[request.param]


@pytest.fixture(params=list(TINY_TEXT))
def tiny_text_family(request: pytest.FixtureRequest, tiny_families: dict[str, object]) -> object:
    """Each tiny language model's family in turn."""
    return tiny_families[request.param]


@pytest.fixture(scope="session")
def picture() -> bytes:
    """A PNG file of 16 x 16 pixels."""
    return png()

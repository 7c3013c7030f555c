"""One foreign folder, made once and copied for each test that spoils it."""

import shutil
from pathlib import Path

import pytest
from interop_models import marian


@pytest.fixture(scope="session")
def saved_marian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "marian"
    marian(folder)
    return folder


@pytest.fixture
def folder(saved_marian: Path, tmp_path: Path) -> Path:
    """A Marian folder, one's own, in a folder of its own."""
    copy = tmp_path / "opus"
    shutil.copytree(saved_marian, copy)
    return copy

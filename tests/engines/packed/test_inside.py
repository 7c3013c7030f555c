"""The files inside a packed model, against what was put there."""

import os
from pathlib import Path

import numpy as np
import pytest

from attento.engines.packed.file import read_packed, write_packed
from attento.engines.packed.inside import read_inside
from attento.engines.packed.panels import store
from attento.errors import RunFolderError

FILES = {"config.yaml": b"data: {}\n", "tokenizer.model": os.urandom(211), "source.json": b""}


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    path = tmp_path / "model.attento"
    files = {f"file:{name}": store(np.frombuffer(content, np.uint8)) for name, content in FILES.items()}
    floats = {"norm.gain": store(np.arange(17, dtype=np.float32))}
    write_packed(path, {"d_model": 17.0, "d_ff": 29.0, "bos_id": 2.0}, floats | files)
    return path


def test_what_was_put_inside_comes_out(packed: Path) -> None:
    assert read_inside(packed) == FILES
    whole = read_packed(packed)
    assert {name: whole.file(name) for name in whole.files} == FILES


def test_a_file_cut_off_anywhere_is_refused(packed: Path) -> None:
    content = packed.read_bytes()
    last = content.rindex(FILES["tokenizer.model"]) + 211
    for size in (0, 7, 39, 41, 200, 500, last - 1):
        packed.write_bytes(content[:size])
        with pytest.raises(RunFolderError, match="is no packed model"):
            read_inside(packed)


@pytest.mark.parametrize(
    "content", [b"PK\3\4" + bytes(97), b"ATTENTO\n" + b"\2" + bytes(97), b"ATTENTO\n" + b"\xff" * 97]
)
def test_other_files_are_refused(packed: Path, content: bytes) -> None:
    packed.write_bytes(content)
    with pytest.raises(RunFolderError, match=r"is no packed model; `attento export RUN --format native` makes one"):
        read_inside(packed)


def test_a_model_without_settings_is_refused(packed: Path) -> None:
    write_packed(packed, {"d_model": 17.0}, {"file:tokenizer.model": store(np.zeros(13, np.uint8))})
    with pytest.raises(RunFolderError, match="is no packed model"):
        read_inside(packed)


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cannot be read: Is a directory"):
        read_inside(tmp_path)

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
    for size in (8, 39, 41, 200, 500, len(content) - 1):
        packed.write_bytes(content[:size])
        with pytest.raises(RunFolderError, match=r"cut off.*; export it again with `attento export RUN"):
            read_inside(packed)


def test_a_file_of_a_newer_version_is_refused(packed: Path) -> None:
    content = packed.read_bytes()
    packed.write_bytes(content[:8] + (2).to_bytes(4, "little") + content[12:])
    with pytest.raises(RunFolderError, match=r"made by a newer version: it is of format 2, but only 1 can be read"):
        read_inside(packed)


@pytest.mark.parametrize(("place", "value"), [(8, 0), (16, 10**6), (12, 10**6)])
def test_a_wrong_header_is_refused(packed: Path, place: int, value: int) -> None:
    content = packed.read_bytes()
    packed.write_bytes(content[:place] + value.to_bytes(4, "little") + content[place + 4 :])
    with pytest.raises(RunFolderError, match="is damaged: its header is wrong"):
        read_inside(packed)


@pytest.mark.parametrize("content", [b"", b"ATTENTO", b"PK\3\4" + bytes(97), bytes(211)])
def test_other_files_are_refused(packed: Path, content: bytes) -> None:
    packed.write_bytes(content)
    with pytest.raises(RunFolderError, match=r"is no packed model; `attento export RUN --format native` makes one"):
        read_inside(packed)


def test_a_model_without_settings_is_refused(packed: Path) -> None:
    write_packed(packed, {"d_model": 17.0}, {"file:tokenizer.model": store(np.zeros(13, np.uint8))})
    with pytest.raises(RunFolderError, match="holds no settings of a run"):
        read_inside(packed)


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cannot be read: Is a directory"):
        read_inside(tmp_path)

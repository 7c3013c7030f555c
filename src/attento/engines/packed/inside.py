"""The small files inside a packed model: its settings and tokenizers, read alone. Needs neither torch nor numpy.

The layout is told in `engines.packed.file`. That the file is whole, the engine that loads it checks.
"""

import struct
from pathlib import Path
from typing import BinaryIO

from attento.errors import RunFolderError

CONFIG = "config.yaml"
"""The name inside of the run's settings."""

_HEADER = struct.Struct("<8sIIII QQ")
_TENSOR = struct.Struct("<72s 8x 24x QQQ")
_SETTING_BYTES = 48
_MARK = b"file:"
_MAGIC = b"ATTENTO\n"
_VERSION = 1


def read_inside(path: Path) -> dict[str, bytes]:
    """Return the files inside a packed model by their names.

    Raises:
        RunFolderError: it cannot be read, is no packed model, is damaged, was made by a newer version, or holds no
            settings.
    """
    try:
        with path.open("rb") as file:
            found = _read_files(file, path)
    except OSError as problem:
        raise RunFolderError(f"{path}: cannot be read: {problem.strerror or problem}") from problem
    if CONFIG not in found:
        raise _error(path, "holds no settings of a run")
    return found


def _read_files(file: BinaryIO, path: Path) -> dict[str, bytes]:
    size = path.stat().st_size
    header = file.read(_HEADER.size)
    if not header.startswith(_MAGIC):
        raise RunFolderError(f"{path}: is no packed model; `attento export RUN --format native` makes one")
    if len(header) < _HEADER.size:
        raise _error(path, "is cut off")
    _, version, settings, tensors, _, whole, _ = _HEADER.unpack(header)
    if version > _VERSION:
        newer = f"was made by a newer version: it is of format {version}, but only {_VERSION} can be read"
        raise _error(path, f"{newer}; update attento")
    if whole != size:
        raise _error(path, f"has {size} bytes, but must have {whole}: it is cut off or damaged")
    file.seek(settings * _SETTING_BYTES, 1)
    records = file.read(min(tensors * _TENSOR.size, size))
    if version == 0 or len(records) < tensors * _TENSOR.size:
        raise _error(path, "is damaged: its header is wrong")
    found = {}
    for name, offset, length, _ in _TENSOR.iter_unpack(records):
        if name.startswith(_MARK):
            if offset + length > size:
                raise _error(path, "is damaged: its records are wrong")
            file.seek(offset)
            found[name.removeprefix(_MARK).rstrip(b"\0").decode("ascii", "replace")] = file.read(length)
    return found


def _error(path: Path, problem: str) -> RunFolderError:
    return RunFolderError(f"{path}: {problem}; export it again with `attento export RUN --format native`")

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


def read_inside(path: Path) -> dict[str, bytes]:
    """Return the files inside a packed model by their names.

    Raises:
        RunFolderError: it cannot be read, is no packed model, or holds no settings.
    """
    try:
        with path.open("rb") as file:
            found = _read_files(file, path.stat().st_size)
    except OSError as problem:
        raise RunFolderError(f"{path}: cannot be read: {problem.strerror or problem}") from problem
    if found is None or CONFIG not in found:
        raise RunFolderError(f"{path}: is no packed model; `attento export RUN --format native` makes one")
    return found


def _read_files(file: BinaryIO, size: int) -> dict[str, bytes] | None:
    """Return the files, or None where one of them does not lie where it is said to."""
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    magic, version, settings, tensors, *_ = _HEADER.unpack(header)
    if (magic, version) != (b"ATTENTO\n", 1):
        return None
    file.seek(settings * _SETTING_BYTES, 1)
    records = file.read(min(tensors * _TENSOR.size, size))
    if len(records) < tensors * _TENSOR.size:
        return None
    found = {}
    for name, offset, length, _ in _TENSOR.iter_unpack(records):
        if name.startswith(_MARK):
            if offset + length > size:
                return None
            file.seek(offset)
            found[name.removeprefix(_MARK).rstrip(b"\0").decode("ascii", "replace")] = file.read(length)
    return found

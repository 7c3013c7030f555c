"""Telling that files of text are unchanged without reading them, as version control does: by size and time.

A file that was changed only just now has no stamp: it could change once more within the same tick of the clock and keep
its size (the "racy" problem of Git's index).
"""

import time
from collections.abc import Iterator
from pathlib import Path

from attento.data.pairs.config import DataConfig

Stamps = dict[str, list[int]]

_SECOND = 1_000_000_000


def stamp_files(config: DataConfig, data_root: Path) -> Stamps | None:
    """Return size in bytes and time of change in ns of every file of the corpora; None where that says too little."""
    now = time.time_ns()
    stamps = {}
    for name in _files(config):
        try:
            status = (data_root / name).stat()
        except OSError:
            return None  # whoever reads it says what is wrong
        if status.st_mtime_ns > now - _tick(status.st_mtime_ns):
            return None
        stamps[name] = [status.st_size, status.st_mtime_ns]
    return stamps


def _tick(time_ns: int) -> int:
    # Without a fraction, it may be of a file system that counts in seconds, FAT in two; others keep to the system's
    # timer, of 10 ms at most.
    return _SECOND // 10 if time_ns % _SECOND else 2 * _SECOND


def _files(config: DataConfig) -> Iterator[str]:
    for corpus in (*config.train, config.validation, config.test):
        if corpus is not None:
            yield from (name for name in (corpus.source, corpus.target, corpus.pairs) if name is not None)

r"""Text files, plain or compressed: lines in a stream, one file alone or several side by side.

Lines end at "\n" and nowhere else: CR, U+2028 and U+0085 are characters of the line. Whatever cannot be read faithfully
is refused with the place where it stands.
"""

import difflib
import gzip
import io
import lzma
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from attento.errors import DataError, MissingExtraError

CHUNK_LINES = 4096
_CHUNK_BYTES = 1 << 23


def read_lines(path: Path) -> Iterator[str]:
    r"""Yield the lines of a text file without their "\n"; a byte order mark at the beginning is left out.

    Raises:
        DataError: the file is missing, empty, damaged, not UTF-8, or holds a NUL byte.
        MissingExtraError: a `.zst` file is read and `zstandard` is not installed.
    """
    for _, (text,) in read_aligned(path):
        yield from text.split("\n")[:-1]


def read_aligned(*paths: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of a line and, of each file, the text of that and the following lines, equally many of each.

    Raises:
        DataError: as `read_lines`, or the files have not the same number of lines.
        MissingExtraError: a `.zst` file is read and `zstandard` is not installed.
    """
    first_line = 1
    blocks = _row_blocks(paths)
    for rows in blocks:
        # No line is empty: each has its end, or is the last one and has something before it.
        if not all(rows[-1]):
            raise _misaligned(paths, first_line - 1, chain(rows, chain.from_iterable(blocks)))
        columns = zip(*rows, strict=True)
        yield first_line, [_decode(lines, path, first_line) for lines, path in zip(columns, paths, strict=True)]
        first_line += len(rows)


def _row_blocks(paths: Sequence[Path]) -> Iterator[list[tuple[bytes, ...]]]:
    """Yield the raw lines of files side by side, some at a time; b"" where a file has no more."""
    rows: list[tuple[bytes, ...]] = []
    size = 0
    for row in zip_longest(*map(_raw_lines, paths), fillvalue=b""):
        rows.append(row)
        size += sum(map(len, row))
        if len(rows) == CHUNK_LINES or size >= _CHUNK_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _raw_lines(path: Path) -> Iterator[bytes]:
    with _open(path) as file:
        first = file.readline()
        if not first:
            raise DataError(f"{path}: is empty")
        yield first
        yield from file


def _decode(lines: Sequence[bytes], path: Path, first_line: int) -> str:
    raw = b"".join(lines)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise next(filter(None, (_flaw(line, f"{path}:{number}") for number, line in enumerate(lines, first_line))))
    if first_line == 1:
        text = text.removeprefix("\ufeff")
    return text if text.endswith("\n") else text + "\n"


def _flaw(raw: bytes, where: str) -> DataError | None:
    if b"\0" in raw:
        return DataError(f"{where}: holds a NUL byte; is this a text file in UTF-8?")
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as problem:
        return DataError(
            f"{where}: is not valid UTF-8 (byte 0x{raw[problem.start]:02x} at position {problem.start + 1} of the "
            "line); convert the file, for example with `iconv -f WINDOWS-1252 -t UTF-8`"
        )
    return None


def _misaligned(paths: Sequence[Path], lines_before: int, rows: Iterable[tuple[bytes, ...]]) -> DataError:
    counts = [lines_before, lines_before]
    for row in rows:
        for side, line in enumerate(row):
            counts[side] += bool(line)
    return DataError(
        f"{paths[0]} has {counts[0]} lines and {paths[1]} has {counts[1]}: aligned files must have the same number "
        r'(lines end at "\n" alone)'
    )


@contextmanager
def _open(path: Path) -> Iterator[io.BufferedIOBase]:
    try:
        with _opener(path) as file:
            yield file
    except FileNotFoundError:
        raise DataError(f"{path}: no such file{_near_names(path)}") from None
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as problem:
        raise DataError(f"{path}: the compressed file is damaged or cut off: {problem}") from None
    except OSError as problem:
        raise DataError(f"{path}: cannot be read: {problem.strerror or problem}") from problem


def _opener(path: Path) -> io.BufferedIOBase:
    match path.suffix:
        case ".gz":
            return gzip.open(path, "rb")
        case ".xz":
            return lzma.open(path, "rb")
        case ".zst":
            return io.BufferedReader(_ZstdFile(path), 1 << 20)
        case _:
            return path.open("rb")


class _ZstdFile(io.RawIOBase):
    """Reads frames of Zstandard one after another, and says so when the last one is cut off."""

    def __init__(self, path: Path) -> None:
        try:
            import zstandard
        except ImportError:
            raise MissingExtraError("zstandard", "zstd") from None
        self._error: type[Exception] = zstandard.ZstdError
        self._decompressor = zstandard.ZstdDecompressor()
        self._frame: Any = None
        self._file = path.open("rb")
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            block = self._file.read(1 << 16)
            if not block:
                if self._frame is not None:
                    raise EOFError("the last frame has no end")
                return 0
            self._ready = self._decompress(block)
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _decompress(self, block: bytes) -> bytes:
        parts = []
        while block:
            self._frame = self._frame or self._decompressor.decompressobj()
            try:
                parts.append(self._frame.decompress(block))
            except self._error as problem:
                raise EOFError(str(problem)) from None
            block = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame = None
        return b"".join(parts)

    def close(self) -> None:
        self._file.close()
        super().close()


def _near_names(path: Path) -> str:
    if not path.parent.is_dir():
        return f" (the folder {path.parent} does not exist either; is the data folder the right one?)"
    near = difflib.get_close_matches(path.name, [each.name for each in path.parent.iterdir()], n=3, cutoff=0.6)
    return f" (did you mean {' or '.join(f'`{name}`' for name in near)}?)" if near else ""

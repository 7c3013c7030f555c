r"""Reading parallel text, whatever it is stored in, as a stream of pairs.

Lines end at "\n" and nowhere else: CR, U+2028 and U+0085 are characters of the line. Whatever cannot be read faithfully
is an error that names file and line. Holds at most one chunk of pairs at a time (and so at most a chunk of the longest
lines). Cleans nothing.
"""

import difflib
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attento.data.config import CorpusConfig
from attento.errors import DataError, MissingExtraError

CHUNK_PAIRS = 4096
_CHUNK_CHARACTERS = 1 << 23

Pair = tuple[str, str]


@dataclass(frozen=True)
class Languages:
    """The codes of the two languages, as a `.jsonl` file may use them for keys."""

    source: str
    target: str


@dataclass(frozen=True)
class Chunk:
    """Some pairs that follow each other in one corpus."""

    corpus: int
    first_line: int
    pairs: list[Pair]


def read_chunks(corpus: CorpusConfig, index: int, languages: Languages, root: Path) -> Iterator[Chunk]:
    """Yield a corpus in chunks of `CHUNK_PAIRS` pairs, fewer where lines are very long.

    Raises:
        DataError: as `read_pairs`.
    """
    pairs: list[Pair] = []
    first_line, characters = 1, 0
    for pair in read_pairs(corpus, languages, root):
        pairs.append(pair)
        characters += len(pair[0]) + len(pair[1])
        if len(pairs) == CHUNK_PAIRS or characters >= _CHUNK_CHARACTERS:
            yield Chunk(index, first_line, pairs)
            first_line += len(pairs)
            pairs, characters = [], 0
    if pairs:
        yield Chunk(index, first_line, pairs)


def read_pairs(corpus: CorpusConfig, languages: Languages, root: Path) -> Iterator[Pair]:
    """Yield the pairs of a corpus in the order of the file, untouched.

    Raises:
        DataError: a file is missing, empty, damaged, not UTF-8, holds a NUL byte or a malformed line; or two aligned
            files differ in their number of lines.
        MissingExtraError: a `.zst` file is read and `zstandard` is not installed.
    """
    if corpus.pairs is not None:
        path = root / corpus.pairs
        parse = _parse_tsv if corpus.pairs_format == ".tsv" else _parse_jsonl
        for number, line in enumerate(read_lines(path), 1):
            yield parse(line, f"{path}:{number}", languages)
    else:
        assert corpus.source is not None and corpus.target is not None  # held by CorpusConfig
        yield from _read_aligned(root / corpus.source, root / corpus.target)


def read_lines(path: Path) -> Iterator[str]:
    r"""Yield the lines of a text file without their "\n"; a byte order mark at the beginning is left out.

    Raises:
        DataError: the file is missing, empty, damaged, not UTF-8, or holds a NUL byte.
        MissingExtraError: a `.zst` file is read and `zstandard` is not installed.
    """
    number = 0
    with _open(path) as file:
        for number, raw in enumerate(file, 1):
            if b"\0" in raw:
                raise DataError(f"{path}:{number}: holds a NUL byte; is this a text file in UTF-8?")
            try:
                line = raw.decode("utf-8")
            except UnicodeDecodeError as problem:
                raise DataError(
                    f"{path}:{number}: is not valid UTF-8 (byte 0x{raw[problem.start]:02x} at position "
                    f"{problem.start + 1} of the line); convert the file, for example with "
                    f"`iconv -f WINDOWS-1252 -t UTF-8`"
                ) from None
            yield (line.removeprefix("\ufeff") if number == 1 else line).removesuffix("\n")
    if number == 0:
        raise DataError(f"{path}: is empty")


def _read_aligned(source: Path, target: Path) -> Iterator[Pair]:
    source_lines, target_lines = read_lines(source), read_lines(target)
    for count, source_line in enumerate(source_lines):
        target_line = next(target_lines, None)
        if target_line is None:
            more = 1 + sum(1 for _ in source_lines)
            raise _misaligned(source, count + more, target, count)
        yield source_line, target_line
    more = sum(1 for _ in target_lines)
    if more:
        raise _misaligned(source, count + 1, target, count + 1 + more)


def _misaligned(source: Path, source_count: int, target: Path, target_count: int) -> DataError:
    return DataError(
        f"{source} has {source_count} lines and {target} has {target_count}: aligned files must have the same number "
        r'(lines end at "\n" alone)'
    )


def _parse_tsv(line: str, where: str, languages: Languages) -> Pair:
    columns = line.split("\t")
    if len(columns) != 2:
        raise DataError(
            f"{where}: has {len(columns)} column{'s' if len(columns) > 1 else ''}, but must be source, one tab, target"
        )
    return columns[0], columns[1]


def _parse_jsonl(line: str, where: str, languages: Languages) -> Pair:
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as problem:
        raise DataError(f"{where}: is not valid JSON: {problem}") from None
    for keys in (("source", "target"), (languages.source, languages.target)):
        if isinstance(record, dict) and all(isinstance(record.get(key), str) for key in keys):
            return _plain(record[keys[0]], where), _plain(record[keys[1]], where)
    raise DataError(
        f'{where}: must be an object with the texts "source" and "target", or "{languages.source}" and '
        f'"{languages.target}"'
    )


def _plain(text: str, where: str) -> str:
    # JSON can spell what no line of a text file can hold.
    if "\0" in text:
        raise DataError(f"{where}: holds a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{where}: holds half of a surrogate pair, which is no character") from None
    return text.replace("\n", " ")


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

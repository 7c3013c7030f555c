"""Lines in and lines out, in a stream: memory stays flat, and an output file appears only when it is whole."""

import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from attento.errors import InputError


def read_text(path: Path | None) -> Iterator[str]:
    r"""Yield the lines of a text file (plain, .gz, .xz or .zst), or of stdin where none is named; only "\n" ends one.

    Raises:
        DataError: the file cannot be read or is not UTF-8 text.
        InputError: stdin is not UTF-8 text.
    """
    if path is None:
        yield from _decode(sys.stdin.buffer)
    elif not (path.is_file() and path.stat().st_size == 0):  # nothing in, nothing out
        from attento.data.corpora import read_lines

        yield from read_lines(path)


def _decode(lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        try:
            yield line.removesuffix(b"\n").decode("utf-8")
        except UnicodeDecodeError as problem:
            raise InputError(
                f"standard input, line {number}: is not valid UTF-8 (byte {problem.start + 1} of the line); "
                "convert it first, for example with `iconv -f WINDOWS-1252 -t UTF-8`"
            ) from None


@contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """Open a UTF-8 file that takes its place only when all of it is written, or stdout where none is named.

    Raises:
        InputError: the file cannot be written.
    """
    if path is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")
        yield sys.stdout
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        file = beside.open("w", encoding="utf-8", newline="\n")
    except OSError as problem:
        raise InputError(f"{path}: cannot be written: {problem.strerror}") from problem
    try:
        with file:
            yield file
        beside.replace(path)
    except OSError as problem:
        raise InputError(f"{path}: cannot be written: {problem.strerror}") from problem
    finally:
        beside.unlink(missing_ok=True)

"""Lines in and lines out, in a stream: memory stays flat, and an output file appears only when it is whole."""

import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO

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
        from attento.data.lines import read_lines

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


def refuse_overwriting(output: Path | None, *inputs: Path | None) -> None:
    """Refuse an output that would take the place of an input.

    Raises:
        InputError: it would.
    """
    for given in inputs:
        if output is not None and given is not None and output.exists() and given.exists() and output.samefile(given):
            raise InputError(f"{output}: is read from; name another --output")


@contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """Open a UTF-8 file that takes its place only when all of it is written, or stdout where none is named.

    Raises:
        InputError: the file cannot be written.
    """
    if path is None:
        if sys.stdout is None:
            raise InputError("standard output is closed; name a file with --output")
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")
        yield sys.stdout
        return
    with open_binary_output(path) as file, io.TextIOWrapper(file, encoding="utf-8", newline="\n") as text:
        yield text


@contextmanager
def open_binary_output(path: Path) -> Iterator[BinaryIO]:
    """Open a file of bytes that takes its place only when all of it is written.

    Raises:
        InputError: the file cannot be written.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file")
    # Through a link the file is replaced, not the link; a device or a pipe cannot be replaced at all.
    place = path.resolve()
    replaced = not place.exists() or place.is_file()
    beside = place.with_name(f".{place.name}.{os.getpid()}.part") if replaced else place
    try:
        with beside.open("wb") as file:
            yield file
        if replaced:
            beside.replace(place)
    except OSError as problem:
        raise InputError(f"{path}: cannot be written: {problem.strerror}") from problem
    finally:
        if replaced:
            with suppress(OSError):
                beside.unlink(missing_ok=True)

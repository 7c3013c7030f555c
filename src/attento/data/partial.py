"""Folders that are either whole or not there: made beside their place under another name, then renamed.

Whatever goes wrong, Ctrl-C included, the half-made folder is removed. One that a killed process left behind is removed
by the next that makes the same folder on the same machine.
"""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attento.data.record import RECORD_FILE
from attento.errors import DataError

Progress = Callable[[str, int, int | None], None]
"""Called with the stage, how much of it is done, and how much there is (None while unknown)."""

_OLD = "-old"


def refuse_foreign_folder(output: Path) -> None:
    """Refuse a place where something stands that is no prepared folder, so that nothing of the user's is lost.

    Raises:
        DataError: there is a file, or a folder with other things in it.
    """
    if output.is_dir():
        if any(output.iterdir()) and not (output / RECORD_FILE).is_file():
            raise DataError(f"{output}: holds other things than prepared data; name a new or empty folder")
    elif os.path.lexists(output):
        raise DataError(f"{output}: is a file; name a folder")


@contextmanager
def partial_folder(output: Path) -> Iterator[Path]:
    """Give a folder beside `output` to work in; remove it, and parents made for it, if they are left empty at the end.

    Raises:
        DataError: something cannot be written there, for example because the disk is full.
    """
    prefix = f".{output.name}.partial-{socket.gethostname()}-"
    folder = output.parent / f"{prefix}{os.getpid()}"
    new_parents = [parent for parent in output.parents if not parent.exists()]
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        _remove_orphans(output.parent, prefix)
        folder.mkdir()
        yield folder
    except OSError as problem:
        raise DataError(
            f"{output}: cannot be written: {problem.strerror or problem}; nothing is left of this attempt"
        ) from problem
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # the first that holds something else ends it
            for parent in new_parents:
                parent.rmdir()


def put_in_place(folder: Path, output: Path) -> None:
    """Rename a finished folder to its place; an older one there makes way, and comes back if that fails."""
    for path in folder.iterdir():
        _flush_to_disk(path)
    if output.is_dir() and any(output.iterdir()):
        aside = folder.with_name(folder.name + _OLD)
        output.rename(aside)
        try:
            folder.rename(output)
        except BaseException:
            aside.rename(output)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    else:
        if output.is_dir():
            output.rmdir()
        folder.rename(output)


def put_file_in_place(file: Path, output: Path) -> None:
    """Rename a finished file to its place; an older one there is replaced in the same moment."""
    _flush_to_disk(file)
    file.replace(output)


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _remove_orphans(parent: Path, prefix: str) -> None:
    for path in parent.glob(f"{prefix}*"):
        process = path.name.removeprefix(prefix).removesuffix(_OLD)
        if process.isdigit() and int(process) != os.getpid() and not _is_alive(int(process)):
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    if os.name != "posix":
        return True  # elsewhere, signal 0 is no harmless question
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

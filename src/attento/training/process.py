"""What a training process settles with the system: signals, memory, and a folder to itself."""

import contextlib
import ctypes
import os
import platform
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch

from attento.cores import available_cores
from attento.errors import RunFolderError

# glibc's <malloc.h>: the largest block taken from the heap, and the free memory at its top above which it shrinks.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_ONE_GIB = 1 << 30
_STDERR = 2
# What torch says in words only: on the CPU, and where a library of CUDA finds no room for itself.
_OUT_OF_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
_ANSWER = b"\nstopping once this step (with its validation, if one is running) is done and saved; "
_ANSWER += b"Ctrl-C again leaves at once and goes back to the last checkpoint\n"


class StopRequest:
    """A context in which the first SIGINT or SIGTERM only sets `requested`; a further SIGINT interrupts at once.

    Outside of the main thread, which alone gets signals, nothing is ever requested. The answer is kept back where
    another process of the run gives it.
    """

    def __init__(self, *, answers: bool = True) -> None:
        self.requested = False
        self._answers = answers
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.requested:
            self.requested = True
            if self._answers:
                # Past the display and Python's buffers: the signal may have come in the middle of their work.
                with contextlib.suppress(OSError):
                    os.write(_STDERR, _ANSWER)


def keep_freed_memory() -> None:
    """Tell glibc to keep freed blocks of up to 1 GiB for the next step; do nothing where there is another C library.

    By default each large tensor is mapped afresh, and the system fills every page of it with zeros.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _ONE_GIB)
        libc.mallopt(_M_TRIM_THRESHOLD, _ONE_GIB)


def use_available_cores() -> None:
    """Compute with as many threads as there are cores for this process, unless OMP_NUM_THREADS says how many."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(available_cores())


def is_out_of_memory(problem: BaseException) -> bool:
    """Tell whether an error means that memory ran out."""
    if isinstance(problem, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(problem) for words in _OUT_OF_MEMORY)


@contextlib.contextmanager
def folder_to_itself(folder: Path) -> Iterator[None]:
    """Make a folder where it is missing, and keep other trainings out of it until the context or the process ends.

    Raises:
        RunFolderError: another process trains in it, or it cannot be made or opened.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Windows opens no folder and has no such lock.
        handle = _lock(folder) if os.name == "posix" else None
    except BlockingIOError:
        raise RunFolderError(
            f"{folder}: another process trains in it; wait for it, or choose another --output"
        ) from None
    except OSError as problem:
        raise RunFolderError(f"{folder}: cannot be written: {problem}") from problem
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _lock(folder: Path) -> int:
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle

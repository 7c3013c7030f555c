"""Ctrl-C and a polite kill, turned into a question that the loop asks between steps."""

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_STDERR = 2
_ANSWER = b"\nstopping once this step (with its validation, if one is running) is done and saved; "
_ANSWER += b"Ctrl-C again leaves at once and goes back to the last checkpoint\n"


class StopRequest:
    """A context in which the first SIGINT or SIGTERM only sets `requested`; a further SIGINT interrupts at once.

    Outside of the main thread, which alone gets signals, nothing is ever requested.
    """

    def __init__(self) -> None:
        self.requested = False
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
            # Past the display and Python's buffers: the signal may have come in the middle of their work.
            with contextlib.suppress(OSError):
                os.write(_STDERR, _ANSWER)

"""Who of a run's processes has died or hangs: each writes down how far it is, and watches how far the others are.

Every process has a thread that notes, in the store where the processes met, what its main thread is at, and reads what
the others noted. Where nobody has moved for too long, or a process is gone, the one to blame is named, once a host, and
all processes end. Knows nothing of what they compute.
"""

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from torch.distributed import Store  # type: ignore[attr-defined]  # not in __all__

EXIT_STATUS = 1
_PAUSE_S = 2.0
_LOOKS_FOR_LOST = 3
_STDERR = 2
_END = "end"
_GOES_ON = "The run ends; the same command goes on from the newest checkpoint"


@dataclass(frozen=True)
class Mark:
    """What a process is at."""

    host: str
    pid: int
    pids: str = ""
    """Of which numbering: containers of one host, and of one name, may have their own."""
    state: Literal["working", "unhurried", "waiting", "lost", "left"] = "working"
    """Unhurried work may take as long as it likes; waiting is for the other processes, whose connection may be lost."""
    phase: str = "starting"
    step: int = 0
    place: str = ""
    """Function, file and line of the main thread."""
    begun: int = 0
    """How much it has begun so far: less than the others where it is behind."""
    moves: int = 0
    """Changes whenever the main thread is found elsewhere than before."""

    def __str__(self) -> str:
        return f"at step {self.step}, {self.phase} ({self.place})"


class Watch:
    """Ends the process as soon as a process of its run has died or hangs.

    A run hangs when in no process the main thread has moved on to another line of its program.
    """

    def __init__(
        self, store: Store, rank: int, size: int, timeout_s: float, end: Callable[[str], None] | None = None
    ) -> None:
        """Begin to take part; `start` begins to watch.

        Args:
            store: a connection for this thread alone.
            rank: number of this process.
            size: number of processes.
            timeout_s: how long a run may stand still, in seconds.
            end: ends the process after telling a line, if there is one.
        """
        self.pause_s = min(_PAUSE_S, timeout_s / 5)
        self._store, self._rank, self._size, self._timeout_s = store, rank, size, timeout_s
        self._end = end or _end_process
        self._main = threading.main_thread().ident
        self._mark = self._noted = Mark(socket.gethostname(), os.getpid(), _numbering())
        self._stack: list[tuple[str, int]] = []
        self._others = [self._mark] * size
        self._texts = [b""] * size
        self._moved_at = [time.monotonic()] * size
        self._lost_looks = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        if rank == 0:
            store.set(_END, "")
        self._note()

    def start(self) -> None:
        """Begin to watch, in a thread."""
        self._thread.start()

    def begin(self, phase: str, step: int, *, unhurried: bool = False) -> None:
        """Say what the main thread begins to do; it may be unhurried where it takes long without harm."""
        state: Literal["working", "unhurried"] = "unhurried" if unhurried else "working"
        self._mark = replace(self._mark, state=state, phase=phase, step=step, begun=self._mark.begun + 1)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Say that within this context the main thread waits for the others."""
        before = self._mark
        self._mark = replace(before, state="waiting", begun=before.begun + 1)
        yield
        # Not after an error: it is then still where it was.
        self._mark = replace(before, begun=before.begun + 2)

    def lose(self) -> None:
        """Say that a connection to another process broke, and wait until it is known whose it was."""
        self._mark = replace(self._mark, state="lost")
        if self._thread.is_alive():
            self._thread.join((_LOOKS_FOR_LOST + 2) * self.pause_s)

    def fail(self, problem: BaseException) -> bool:
        """End all other processes, because of an error here; return whether this host has not told of any yet."""
        self.leave()
        mark = self._noted
        line = f"rank {self._rank} of {self._size} (host {mark.host}, process {mark.pid}) failed {mark}: {problem}"
        try:
            return self._announce(line)
        except RuntimeError:
            return True

    def leave(self) -> None:
        """Stop watching, and be missed by nobody."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        self._mark = replace(self._mark, state="left")
        with contextlib.suppress(RuntimeError):
            self._note()

    def _run(self) -> None:
        while not self._stopped.wait(self.pause_s):
            try:
                line = self._look()
            except RuntimeError as problem:
                here = f"rank {self._rank} of {self._size} (host {self._mark.host})"
                self._end(f"{here} lost the store at MASTER_ADDR {self._noted}: {problem}. {_GOES_ON}")
                return
            if line is not None:
                self._end(line)
                return

    def _look(self) -> str | None:
        """Note and read; return None to go on, otherwise what to tell before ending: nothing where it has been told."""
        self._note()
        *texts, ended = self._store.multi_get([*map(str, range(self._size)), _END])
        now = time.monotonic()
        for rank, text in enumerate(texts):
            if text != self._texts[rank]:
                self._texts[rank], self._moved_at[rank] = text, now
                self._others[rank] = Mark(**json.loads(text))
        line = ended.decode() or self._trouble(now)
        if not line:
            return None
        return line if self._announce(line) else ""

    def _trouble(self, now: float) -> str | None:
        present = [rank for rank, mark in enumerate(self._others) if mark.state != "left"]
        still = {rank: now - self._moved_at[rank] for rank in present}
        for rank in present:
            if self._is_gone(self._others[rank]):
                return f"{self._who(rank)} died {self._last_seen(rank)}. {_GOES_ON}"
        if self._mark.state == "lost":
            self._lost_looks += 1
            silent = [rank for rank in present if self._others[rank].state != "lost"]
            if silent and self._lost_looks >= _LOOKS_FOR_LOST:
                rank = max(silent, key=lambda each: still[each])
                return f"{self._who(rank)} died or is cut off {self._last_seen(rank)}. {_GOES_ON}"
        if min(still.values()) < self._timeout_s or any(self._others[each].state == "unhurried" for each in present):
            return None
        rank = min(present, key=lambda each: (self._others[each].state == "waiting", self._others[each].begun))
        return (
            f"{self._who(rank)} hangs {self._others[rank]}: no process has moved for {self._timeout_s:g} s. "
            f"{_GOES_ON}. Where this was honest work, raise `training.hang_timeout_s`"
        )

    def _note(self) -> None:
        stack = _stack(self._main)
        mark = self._mark
        place = f"in {stack[0][0]}" if stack else ""
        moves = self._noted.moves + (stack != self._stack)
        self._stack, self._noted = stack, replace(mark, place=place, moves=moves)
        self._store.set(str(self._rank), json.dumps(asdict(self._noted)))

    def _announce(self, line: str) -> bool:
        """Let all processes know; return whether this one is the first of its host to do so."""
        self._store.set(_END, line)
        return int(self._store.add(f"told/{self._mark.host}", 1)) == 1

    def _is_gone(self, mark: Mark) -> bool:
        # Elsewhere a process of that number is another one; and Windows would not ask it, but end it.
        if (mark.host, mark.pids) != (self._mark.host, self._mark.pids) or os.name != "posix":
            return False
        try:
            os.kill(mark.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def _last_seen(self, rank: int) -> str:
        # A mark may be as old as a pause: all are in the same step, so this process knows better which one.
        return (
            f"when rank {self._rank} was at step {self._mark.step}, {self._mark.phase}; last seen {self._others[rank]}"
        )

    def _who(self, rank: int) -> str:
        mark = self._others[rank]
        return f"rank {rank} of {self._size} (host {mark.host}, process {mark.pid})"


def _numbering() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _stack(thread: int | None) -> list[tuple[str, int]]:
    """Return where a thread is, innermost call first: function, file and line, and the instruction."""
    frame = sys._current_frames().get(thread or 0)
    places = []
    while frame is not None:
        code = frame.f_code
        places.append((f"`{code.co_name}`, {Path(code.co_filename).name}:{frame.f_lineno}", frame.f_lasti))
        frame = frame.f_back
    return places


def _end_process(line: str) -> None:
    if line:
        with contextlib.suppress(OSError):
            os.write(_STDERR, f"\nerror: {line}\n".encode())
    # At once: the main thread may never come to its end.
    os._exit(EXIT_STATUS)

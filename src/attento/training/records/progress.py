"""What a person sees while a model trains: one moving line on a terminal, plain lines now and then elsewhere.

All of it goes to stderr, so that stdout stays free for results. Knows no model and no metric beyond those it shows.
"""

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column


class TrainingProgress:
    """Shows step, loss, tokens a second, learning rate and time left; a context manager."""

    def __init__(
        self,
        max_steps: int,
        start_step: int = 0,
        *,
        plain_seconds: float = 10.0,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare the display; nothing is shown before the context is entered.

        Args:
            max_steps: the step at which training ends.
            start_step: the step that training goes on from.
            plain_seconds: away from a terminal, the least time between two printed lines.
            console: where to show it; stderr by default.
            clock: seconds from any fixed point.
        """
        self._max_steps = max_steps
        self._start_step = start_step
        self._plain_seconds = plain_seconds
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._started = clock()
        self._last_line: float | None = None
        self._bar = Progress(
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            BarColumn(bar_width=None),
            # Cut rather than wrapped where the terminal is narrow.
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            console=self._console,
            # A program's own output on stdout must not end up in the display.
            redirect_stdout=False,
            expand=True,
        )
        self._task = self._bar.add_task("starting", total=max_steps, completed=start_step)

    def update(
        self,
        step: int,
        loss: float,
        learning_rate: float,
        source_tokens_per_second: float,
        target_tokens_per_second: float,
    ) -> None:
        """Show where training stands after a step."""
        now = self._clock()
        left = self._seconds_left(step, now)
        text = (
            f"loss {loss:.3f}  src {_short(source_tokens_per_second)} tgt {_short(target_tokens_per_second)} tok/s  "
            f"lr {learning_rate:.1e}  {'-:--:--' if left is None else _hours(left)} left"
        )
        if self._console.is_terminal:
            self._bar.update(self._task, completed=step, description=text)
        elif self._last_line is None or step >= self._max_steps or now - self._last_line >= self._plain_seconds:
            self._last_line = now
            self.say(f"step {step}/{self._max_steps}  {text}")

    def say(self, text: str) -> None:
        """Print a line above the display."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> "TrainingProgress":
        self._started = self._clock()
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def _seconds_left(self, step: int, now: float) -> float | None:
        # Over the whole run so far: validation and checkpoints take their time in what is left, too.
        done = step - self._start_step
        return (now - self._started) / done * (self._max_steps - step) if done > 0 else None


def _short(number: float) -> str:
    return f"{number / 1000:.1f}k" if number >= 1000 else f"{number:.0f}"


def _hours(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{second:02}"

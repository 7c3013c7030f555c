"""What the verbs say to a person: messages go to stderr, so that stdout holds results alone."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.progress import TaskID

EXIT_FAILED, EXIT_WRONG_USE, EXIT_INTERRUPTED = 1, 2, 130


class StageProgress:
    """Shows how far each stage of a long work is: a bar on a terminal, a line elsewhere; a context manager."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed:,.0f}"),
            TimeElapsedColumn(),
            console=console,
            redirect_stdout=False,
            disable=not console.is_terminal,
        )
        self._plain = not console.is_terminal
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Tell how much of a stage is done, and of how much (None while unknown)."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
            if self._plain:
                say(f"{stage} ...")
        self._bars.update(self._tasks[stage], completed=done, total=total)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._bars.stop()


def say(message: str) -> None:
    """Tell the user something on stderr."""
    _tell(("", message))


def say_error(message: str) -> None:
    """Tell the user what went wrong; brackets in the message are text, and lines are not broken."""
    _tell(("bold red", "error: "), ("", message))


def _tell(*parts: tuple[str, str]) -> None:
    """Print styled text on stderr, and import what styles it only where style can be seen."""
    if sys.stderr is None:
        return
    if not sys.stderr.isatty():
        print("".join(text for _, text in parts), file=sys.stderr)
        return
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True).print(Text.assemble(*((text, style) for style, text in parts)), soft_wrap=True)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[str] = ()) -> None:
    """Print a table on stdout; the columns named in `numbers` stand to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    # A pipe has no width: give it enough that nothing is folded.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def show_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print a value on stdout as indented JSON."""
    print(json.dumps(value, ensure_ascii=False, indent=2))

"""The display says where training stands, on stderr alone, and fills no log file."""

import io

import pytest
from rich.console import Console

from attento.training.records.progress import TrainingProgress


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_now_and_then() -> None:
    output, clock = io.StringIO(), Clock()
    with TrainingProgress(50, 10, plain_seconds=7.0, console=Console(file=output), clock=clock) as progress:
        for step in range(11, 51):
            clock.now += 2
            progress.update(step, 3.14159, 5e-4, 12_345.0, 678.0)
    lines = output.getvalue().splitlines()
    # First, then every fourth step (8 seconds), and the last.
    assert [line.split()[1] for line in lines] == [f"{step}/50" for step in [*range(11, 51, 4), 50]]
    assert lines[0] == "step 11/50  loss 3.142  src 12.3k tgt 678 tok/s  lr 5.0e-04  0:01:18 left"
    assert lines[-1].endswith("0:00:00 left")


def test_time_left_counts_hours() -> None:
    output, clock = io.StringIO(), Clock()
    with TrainingProgress(101, console=Console(file=output), clock=clock) as progress:
        clock.now += 125
        progress.update(1, 1.0, 1e-3, 1.0, 1.0)
    assert "3:28:20 left" in output.getvalue()


def test_a_terminal_gets_one_line_and_words_above() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=120, color_system=None, legacy_windows=False)
    with TrainingProgress(8000, console=console) as progress:
        progress.update(1234, 3.14159, 5e-4, 12_345.0, 11_800.0)
        progress.say("checkpoint [bold]step-1[/bold] is damaged")
    shown = output.getvalue()
    above, last = shown[: shown.rindex("1234/8000")], shown[shown.rindex("1234/8000") :]
    assert "checkpoint [bold]step-1[/bold] is damaged\n" in above
    assert "loss 3.142  src 12.3k tgt 11.8k tok/s  lr 5.0e-04" in last


def test_all_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress(3) as progress:
        progress.update(1, 1.0, 1e-3, 1.0, 1.0)
        progress.say("a long line that must not be wrapped " * 5)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 2

"""A request to stop is heard once, politely; a second Ctrl-C means it; a run folder has one training at a time."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from attento.errors import RunFolderError
from attento.training.process import StopRequest, folder_to_itself


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_request_is_only_noted(capfd: pytest.CaptureFixture[str], number: int) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
    assert signal.getsignal(number) == before
    assert "Ctrl-C again leaves at once" in capfd.readouterr().err


def test_a_second_ctrl_c_leaves_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the second one was swallowed")
    assert signal.getsignal(signal.SIGINT) == before


def test_beside_the_main_thread_signals_are_left_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with StopRequest() as stop:
            seen.extend((stop.requested, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False, signal.getsignal(signal.SIGINT)]


@pytest.mark.skipif(os.name != "posix", reason="only POSIX locks folders")
def test_a_folder_is_for_one_training_at_a_time_and_free_when_that_one_is_killed(tmp_path: Path) -> None:
    run = tmp_path / "deep" / "run"
    hold = f"""
import pathlib, time
from attento.training.process import folder_to_itself
with folder_to_itself(pathlib.Path({str(run)!r})):
    print("held", flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(RunFolderError, match="another process trains in it"), folder_to_itself(run):
            raise AssertionError("two trainings in one folder")
        other.kill()
        other.wait()
        with folder_to_itself(run):
            assert run.is_dir()
    with folder_to_itself(run):
        assert not any(run.iterdir())

"""The watch tells which process hangs, died or failed, and takes none for it that only waits or has left."""

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import pytest
from torch.distributed import HashStore, Store

from attento.errors import TrainingError
from attento.training.parallel.watch import Mark, Watch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The watch's clock, moved by hand; and a main thread that stands still."""
    now = [0.0]
    monkeypatch.setattr("attento.training.parallel.watch.time.monotonic", lambda: now[0])
    monkeypatch.setattr("attento.training.parallel.watch._stack", lambda thread: [("`wait`, b.py:7", 3)])
    return now


def make_watch(store: Store, rank: int = 0) -> Watch:
    """A watch of rank 0 of three at step 5, whose thread is not started."""
    watch = Watch(store, rank, 3, 60.0)
    watch.begin("dancing", 5)
    return watch


def note(store: Store, rank: int, **changes: Any) -> None:
    """Note what another process is at: one on a host of its own."""
    mark = Mark(f"host{rank}", 11, phase="dancing", step=5, place="in `dance`, a.py:3", begun=1)
    store.set(str(rank), json.dumps(asdict(replace(mark, **changes))))


def test_a_run_hangs_when_nobody_moves_and_the_one_behind_is_named(clock: list[float]) -> None:
    store = HashStore()
    watch = make_watch(store)
    note(store, 1, begun=3)
    note(store, 2, state="waiting", begun=2)
    assert watch._look() is None
    clock[0] = 59.0
    assert watch._look() is None
    note(store, 1, begun=4)
    clock[0] = 61.0
    assert watch._look() is None
    clock[0] = 122.0
    # Rank 0 has begun least; but who waits is not to blame.
    with watch.waiting():
        clock[0] = 123.0
        assert watch._look() is None
        clock[0] = 184.0
        told = watch._look()
    assert told is not None
    behind = "rank 1 of 3 (host host1, process 11) hangs at step 5, dancing (in `dance`, a.py:3)"
    assert told.startswith(f"{behind}: no process has moved for 60 s. The run ends; the same command goes on")
    assert told.endswith("raise `training.hang_timeout_s`")


def test_unhurried_work_is_waited_for(clock: list[float]) -> None:
    store = HashStore()
    watch = make_watch(store)
    note(store, 1, state="unhurried")
    note(store, 2, state="waiting")
    for now in (0.0, 61.0, 1e6):
        clock[0] = now
        assert watch._look() is None


@pytest.mark.skipif(os.name != "posix", reason="only POSIX tells whether a process lives")
def test_a_process_that_is_gone_from_this_host_has_died_unless_it_left(clock: list[float]) -> None:
    store = HashStore()
    watch = make_watch(store)
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    here = asdict(watch._mark)
    own = {"host": here["host"], "pids": here["pids"], "pid": gone.pid}
    note(store, 1)
    note(store, 2, **own, state="left")
    assert watch._look() is None
    # Another container may have such a process.
    note(store, 2, **own | {"pids": "another"})
    assert watch._look() is None
    note(store, 2, **own)
    told = watch._look()
    assert told is not None
    assert told.startswith(
        f"rank 2 of 3 (host {here['host']}, process {gone.pid}) died when rank 0 was at step 5, dancing"
    )


def test_whose_connection_broke_is_known_by_who_does_not_say_so(clock: list[float]) -> None:
    store = HashStore()
    watch = make_watch(store)
    note(store, 1, state="waiting")
    note(store, 2)
    assert watch._look() is None
    clock[0] = 1.0
    watch.lose()
    note(store, 2, state="lost")
    assert [watch._look(), watch._look()] == [None, None]
    told = watch._look()
    assert told is not None and told.startswith(
        "rank 1 of 3 (host host1, process 11) died or is cut off when rank 0 was"
    )


def test_an_error_is_told_once_a_host_and_ends_all(clock: list[float]) -> None:
    store = HashStore()
    watches = [make_watch(store, rank) for rank in (0, 1, 2)]
    assert watches[1].fail(TrainingError("the disk is full")) is True
    assert watches[2].fail(TrainingError("the disk is full")) is False
    assert watches[0]._look() == ""
    watches[0]._mark = replace(watches[0]._mark, host="elsewhere")
    told = watches[0]._look()
    assert told is not None
    assert re.fullmatch(
        r"rank [12] of 3 \(host .+\) failed at step 5, dancing \(in `wait`, b.py:7\): the disk is full", told
    )


def test_without_the_store_nobody_can_go_on() -> None:
    told: list[str] = []
    store = HashStore()
    watch = Watch(store, 0, 3, 0.01, end=told.append)
    # The others never come, so the store gives up.
    store.set_timeout(timedelta(milliseconds=1))
    watch.start()
    watch._thread.join()
    assert len(told) == 1
    assert re.match(r"rank 0 of 3 \(host .+\) lost the store at MASTER_ADDR at step 0, starting", told[0])

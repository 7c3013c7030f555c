"""What every test gets: one torch thread, a fixed seed, no network; and the real corpora where they are at hand."""

import os

# Before torch is imported, and for the processes that tests start: many small tensors run best on one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

PROJECT = Path(__file__).resolve().parent.parent

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing touches the network unless a download verb was typed: a connection beyond this machine fails the test."""
    connect = socket.socket.connect

    def connect_here_only(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else None
        if self.family in (socket.AF_INET, socket.AF_INET6) and host not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach the network at {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_here_only)
    yield


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of the checkout."""
    return PROJECT


def _find_corpora() -> Path | None:
    named = os.environ.get("ATTENTO_DATA")
    places = [Path(named)] if named else [PROJECT / "data", PROJECT.parent / "shared" / "data"]
    return next((place for place in places if (place / "multi30k").is_dir()), None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real corpora, for tests marked `shared_data`."""
    corpora = _find_corpora()
    assert corpora is not None, "mark the test with @pytest.mark.shared_data, so that it is skipped without the corpora"
    return corpora


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs the real corpora where there are none."""
    if _find_corpora() is not None:
        return
    skip = pytest.mark.skip(reason="the real corpora are not here; name their folder in ATTENTO_DATA")
    for item in items:
        if "shared_data" in item.keywords:
            item.add_marker(skip)

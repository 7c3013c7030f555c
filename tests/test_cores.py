"""The cores are those that the process may run on, and no more than its container grants."""

import os
from pathlib import Path

import pytest

from attento.cores import available_cores


@pytest.fixture(autouse=True)
def seven_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(7)), raising=False)


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("max 100000\n", 7), ("200000 100000\n", 2), ("350000 100000\n", 3), ("50000 100000\n", 1), ("1900000 100000", 7)],
)
def test_a_container_of_version_2(tmp_path: Path, limit: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    assert available_cores(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1\n", 7), ("300000\n", 3)])
def test_a_container_of_version_1(tmp_path: Path, quota: str, cores: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert available_cores(tmp_path) == cores


def test_no_container(tmp_path: Path) -> None:
    assert available_cores(tmp_path) == 7


def test_damaged_limits_are_none(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("?")
    assert available_cores(tmp_path) == 7


def test_a_system_without_affinities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert available_cores(tmp_path) == 5

"""Where and when a comparison was made: without it a measured time means nothing."""

import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from attento.cores import available_cores

_PACKAGES = ("attento", "torch", "numpy", "sentencepiece", "sacrebleu", "plotly")
_CPUINFO = Path("/proc/cpuinfo")


def gather_facts(command: str) -> dict[str, str]:
    """Return machine, versions, date and command, by name."""
    facts = {
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": str(available_cores()),
        "threads": str(torch.get_num_threads()),
    }
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
    if hasattr(os, "getloadavg"):
        facts["load at the end"] = f"{os.getloadavg()[0]:.1f} processes"
    return facts | {"python": platform.python_version(), **dict(_versions())}


def _processor() -> str:
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _versions() -> Iterator[tuple[str, str]]:
    for package in _PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue

"""How many processor cores this process may use. Knows no torch."""

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def available_cores(cgroup: Path = _CGROUP) -> int:
    """Return the cores that this process may run on, no more than its container's share of processor time.

    A machine's number of cores, which libraries go by, is far too many in a container that may use two of them.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        cores = os.cpu_count() or 1
    quota = _quota(cgroup)
    return cores if quota is None else max(1, min(cores, math.floor(quota)))


def _quota(cgroup: Path) -> float | None:
    """Return the cores' worth of time that the control group grants, in version 2 or 1 of the kernel's interface."""
    try:
        granted, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:
            granted = (cgroup / "cpu/cpu.cfs_quota_us").read_text(encoding="ascii")
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text(encoding="ascii")
        except OSError:
            return None
    try:
        return int(granted) / int(period) if int(granted) > 0 else None
    except ValueError:  # "max"
        return None

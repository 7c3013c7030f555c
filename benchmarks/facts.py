"""What a result must say of where it comes from: machine, versions, commit, command, date."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("attento", "torch", "sentencepiece", "sacrebleu", "numpy", "pyarrow", "typer")


def provenance() -> dict[str, Any]:
    """Return the facts of this machine and this call."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", *map(_plain_path, sys.argv)]),
        "commit": _git("describe", "--always", "--dirty"),
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "system": platform.platform(),
        },
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES},
    }


def write_result(name: str, result: dict[str, Any], lines: list[str]) -> None:
    """Write a result as `results/NAME.json` and, for people, `results/NAME.md`."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    facts = result["provenance"]
    machine = facts["machine"]
    footer = [
        "",
        f"{facts['date']}, commit {facts['commit']}, {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB; " + ", ".join(f"{k} {v}" for k, v in facts["versions"].items()),
        "",
        f"    {facts['command']}",
    ]
    (RESULTS / f"{name}.md").write_text("\n".join(lines + footer) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _plain_path(argument: str) -> str:
    # Where the checkout and the data lie on this machine is of no use to anyone else.
    path = Path(argument)
    if path.is_absolute() or argument.startswith(".."):
        return path.name
    return argument


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    return done.stdout.strip() or None

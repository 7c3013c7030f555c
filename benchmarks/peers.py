"""The systems that Attento is measured beside: each in a virtual environment of its own, under `benchmarks/.venvs`.

Everything comes from the package registry. torch is installed first and held, so that all run on the same build of it.
A system that does not install raises `PeerError` with the reason, which goes into the result.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facts import RESULTS

TORCH = "torch==2.13.0"
SCRIPTS = Path(__file__).parent / "peer_scripts"
VENVS = Path(__file__).parent / ".venvs"
_STAMP = "installed.txt"


class PeerError(Exception):
    """A system cannot be measured; says why."""


@dataclass(frozen=True)
class Peer:
    """What to install, in this order: torch, packages with what they need, packages without it."""

    packages: tuple[str, ...]
    alone: tuple[str, ...] = ()
    torch: bool = True


# OpenNMT-py asks for torch < 2.3, which has no build for current Pythons; it runs with the torch of the others.
PEERS = {
    "torch": Peer(("numpy",)),
    "huggingface": Peer(("numpy", "transformers==5.23.0")),
    "eole": Peer(("eole==0.6.4",)),
    "opennmt-py": Peer(
        (
            "numpy",
            "configargparse",
            "ctranslate2>=4,<5",
            "tensorboard>=2.3",
            "flask",
            "waitress",
            "pyonmttok>=1.37,<2",
            "pyyaml",
            "sacrebleu",
            "rapidfuzz",
            "pyahocorasick",
            "fasttext-wheel",
            "spacy",
            "six",
            "setuptools",
        ),
        alone=("OpenNMT-py==3.5.1",),
    ),
    # JoeyNMT imports a package that it does not ask for.
    "joeynmt": Peer(("joeynmt==2.3.0", "importlib-metadata")),
    "marian": Peer(("numpy", "pymarian==1.12.42"), torch=False),
    "plots": Peer(("matplotlib",), torch=False),
}


def peer_python(name: str) -> Path:
    """Return the Python of a system's virtual environment, which is made where it is missing or out of date.

    Raises:
        PeerError: it does not install.
    """
    peer, folder = PEERS[name], VENVS / name
    python = _python(folder)
    stamp, wanted = folder / _STAMP, repr(peer)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print(f"installing {name} into {folder}", file=sys.stderr)
    venv.create(folder, with_pip=True, clear=True, symlinks=os.name != "nt")
    constraints = folder / "constraints.txt"
    constraints.write_text(TORCH + "\n", encoding="utf-8")
    if peer.torch:
        _install(python, "--constraint", str(constraints), TORCH)
    _install(python, "--constraint", str(constraints), *peer.packages)
    if peer.alone:
        _install(python, "--no-deps", *peer.alone)
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _install(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise PeerError("does not install: " + " ".join(errors[-2:]).removeprefix("ERROR: "))


class Worker:
    """A process of `peer_scripts` that answers one command at a time and is stopped in between.

    Stopped means by the system, all its threads: none of them can wait by spinning while another system is timed.
    """

    def __init__(
        self, python: Path, script: str, task: Mapping[str, Any], environment: Mapping[str, str], limit: float
    ) -> None:
        """Start it and wait for its first answer, the facts of the system.

        Raises:
            PeerError: it fails, or has not answered after `limit` seconds.
        """
        self._limit = limit
        self._log = Path(task["folder"]) / "stderr.txt"
        self._log.parent.mkdir(parents=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [python, SCRIPTS / script],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | environment,
                start_new_session=True,
            )
        try:
            self.facts = self.ask(task)
        except PeerError:
            self.close()
            raise

    def ask(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Wake the process, give it a command, return its answer and stop it again.

        Raises:
            PeerError: it fails, or has not answered after the limit.
        """
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        self._signal(signal.SIGCONT)
        watchdog = threading.Timer(self._limit, self._signal, [signal.SIGKILL])
        watchdog.start()
        try:
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watchdog.cancel()
        if not line:
            code = process.wait()
            last = (self._log.read_text(encoding="utf-8", errors="replace").splitlines() or ["no message"])[-1]
            raise PeerError(f"does not run: ended with code {code} within {self._limit:.0f} s: {last}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerError(f"does not run: {answer['error']}")
        self._signal(signal.SIGSTOP)
        return answer

    def close(self) -> None:
        """End the process and all that it started."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            # To a process that is gone, what it has not read cannot be sent any more.
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _signal(self, number: int) -> None:
        # A group that is gone already needs no signal.
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)


def draw(name: str, script: str) -> None:
    """Draw a result by a script of `peer_scripts`; say so where matplotlib does not install."""
    try:
        python = peer_python("plots")
    except PeerError as problem:
        print(f"no plot: matplotlib {problem}", file=sys.stderr)
        return
    files = [RESULTS / f"{name}.json", RESULTS / f"{name}.png"]
    subprocess.run([python, SCRIPTS / script, *files], check=True)

"""What a training run goes on from after an interruption: written whole or not at all, checked by hash when read.

A checkpoint is a folder `step-00001000` with `model.safetensors`, `training.safetensors` (optimizer and random state),
`progress.json` and `manifest.json` (size and SHA-256 of the other three). It is written beside under a hidden name and
renamed. No pickle is written or read. Knows no model and no optimizer: tensors by name are all it sees.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from attento.errors import ConfigError, RunFolderError, TrainingError

FORMAT = 1
MODEL_FILE = "model.safetensors"
_TRAINING_FILE = "training.safetensors"
_PROGRESS_FILE = "progress.json"
_MANIFEST_FILE = "manifest.json"
_CONTENT = (MODEL_FILE, _TRAINING_FILE, _PROGRESS_FILE)
_STEP_NAME = re.compile(r"step-(\d{8,})")

# What a hidden folder `.step-00001000.<role>` was when the process died.
_WRITING = "writing"
_REPLACED = "replaced"
_DROPPED = "dropped"


@dataclass(frozen=True)
class Snapshot:
    """All that a run needs to go on exactly as if it had never stopped."""

    step: int
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    random_state: dict[str, UInt8[Tensor, " _"]]
    progress: dict[str, Any]
    """Plain JSON values; a tuple comes back as a list."""


class CheckpointStore:
    """The checkpoints of one run, the last few of them kept.

    Of those, the newest may be of any step; the others are of multiples of `every`. What an interruption saved in
    between is gone with the next one, so that a run that was interrupted ends with the same checkpoints as one that
    was not.
    """

    def __init__(self, folder: Path, keep_last: int, every: int = 1) -> None:
        if keep_last < 1:
            raise ConfigError(f"`keep_last` must be at least 1, but got {keep_last}")
        self.folder = folder
        self.keep_last = keep_last
        self.every = every

    def paths(self) -> list[Path]:
        """Return the folders of all checkpoints, by rising step; whether they are whole is not looked at."""
        if not self.folder.is_dir():
            return []
        return sorted((path for path in self.folder.iterdir() if _STEP_NAME.fullmatch(path.name)), key=_step_of)

    def good_weights(self, say: Callable[[str], None]) -> list[Path]:
        """Return the weight files of all undamaged checkpoints, by rising step; damaged ones are named to `say`."""
        good = []
        # A process killed just after a save may have left more than are kept.
        for path in self._kept(self.paths()):
            try:
                _verify(path)
                good.append(path / MODEL_FILE)
            except _DamagedError as damage:
                say(f"checkpoint {path.name} is damaged ({damage}) and is left aside")
        return good

    def save(self, snapshot: Snapshot) -> Path:
        """Write a checkpoint, then drop what is beyond the last `keep_last`; an older one of the same step is replaced.

        Checkpoints of a later step are dropped as well: the run went back behind them, so they tell another story.

        Raises:
            TrainingError: the disk is full or the folder cannot be written; the older checkpoints are untouched.
        """
        final = self.folder / f"step-{snapshot.step:08d}"
        writing = _hidden(final, _WRITING)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._tidy()
            writing.mkdir()
            _write_snapshot(snapshot, writing)
            self._publish(writing, final)
        except (OSError, SafetensorError) as problem:
            raise TrainingError(
                f"{final}: the checkpoint could not be written ({problem}). The older checkpoints are untouched: "
                "free some space or mend the folder, then run the same command again to go on from them"
            ) from problem
        finally:
            # Also on Ctrl-C: nothing half-made stays, and a replaced checkpoint comes back.
            with contextlib.suppress(OSError):
                self._tidy()
        self._prune(snapshot.step)
        return final

    def newest(self, say: Callable[[str], None]) -> Snapshot | None:
        """Load the newest undamaged checkpoint, or None where there is none at all.

        Args:
            say: is told the name of every damaged checkpoint that was passed over, with the reason.

        Raises:
            RunFolderError: there are checkpoints, but every one is damaged; or the folder cannot be tidied.
        """
        try:
            self._tidy()
        except OSError as problem:
            raise RunFolderError(f"{self.folder}: an interrupted checkpoint cannot be cleared: {problem}") from problem
        reasons = []
        for path in reversed(self.paths()):
            try:
                snapshot = _read_snapshot(path)
            except _DamagedError as damage:
                say(f"checkpoint {path.name} is damaged ({damage}) and is left aside")
                reasons.append(f"{path.name}: {damage}")
                continue
            if reasons:
                say(f"going on from the one before it: {path.name}")
            return snapshot
        if reasons:
            raise RunFolderError(
                f"{self.folder}: every checkpoint is damaged; delete this folder to train from the start\n  "
                + "\n  ".join(reasons)
            )
        return None

    def _publish(self, writing: Path, final: Path) -> None:
        if final.exists():
            os.replace(final, _hidden(final, _REPLACED))
        os.replace(writing, final)
        _sync_folder(self.folder)

    def _kept(self, paths: list[Path]) -> list[Path]:
        earlier = [path for path in paths[:-1] if _step_of(path) % self.every == 0]
        return earlier[max(0, len(earlier) - self.keep_last + 1) :] + paths[-1:]

    def _prune(self, step: int) -> None:
        paths = self.paths()
        kept = self._kept([path for path in paths if _step_of(path) <= step])
        for path in paths:
            if path in kept:
                continue
            try:
                # Renamed first: an interrupted removal must not look like a checkpoint.
                dropped = _hidden(path, _DROPPED)
                os.replace(path, dropped)
                shutil.rmtree(dropped)
            except OSError as problem:
                raise TrainingError(f"{path}: the old checkpoint could not be removed: {problem}") from problem

    def _tidy(self) -> None:
        """Clear what interrupted writes and removals left behind."""
        for path in self.folder.glob(".step-*"):
            name, _, role = path.name[1:].rpartition(".")
            final = self.folder / name
            if role == _REPLACED and not final.exists():
                os.replace(path, final)
            elif role in (_WRITING, _REPLACED, _DROPPED):
                shutil.rmtree(path)


def capture_random_state() -> dict[str, UInt8[Tensor, " _"]]:
    """Return the state of torch's generators: the CPU's, and each CUDA device's once CUDA is in use."""
    state = {"cpu": torch.get_rng_state()}
    # Asking an unused CUDA for its state would open a context on every device.
    in_use: Callable[[], bool] = torch.cuda.is_initialized
    if torch.cuda.is_available() and in_use():
        for index, generator in enumerate(torch.cuda.get_rng_state_all()):
            state[f"cuda:{index}"] = generator
    return state


def restore_random_state(state: Mapping[str, UInt8[Tensor, " _"]]) -> None:
    """Put torch's generators back; devices that this machine does not have are passed over.

    Raises:
        RunFolderError: there is no state for the CPU, or one does not fit this version of torch.
    """
    if "cpu" not in state:
        raise RunFolderError("the checkpoint holds no random state for the CPU; it was not written by this program")
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    try:
        torch.set_rng_state(state["cpu"])
        for index in range(devices):
            if f"cuda:{index}" in state:
                torch.cuda.set_rng_state(state[f"cuda:{index}"], index)
    except (RuntimeError, TypeError) as problem:
        raise RunFolderError(
            f"the checkpoint's random state does not fit torch {torch.__version__}: {problem}; "
            "go on with the version that wrote it"
        ) from None


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as a safetensors file and wait until the disk has them; shared memory is written once a name.

    Raises:
        OSError: the file cannot be written.
        SafetensorError: the same, found by the writer underneath.
    """
    plain: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        # safetensors refuses tensors that share memory.
        if own.untyped_storage().data_ptr() in storages:
            own = own.clone()
        storages.add(own.untyped_storage().data_ptr())
        plain[name] = own
    save_file(plain, path, metadata={"format": "pt"})
    sync_file(path)


def sync_file(path: Path) -> None:
    """Wait until the disk has a file's content."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def replace_file(writing: Path, path: Path) -> None:
    """Rename a finished file over another in the same folder, and wait until the disk knows the new name."""
    os.replace(writing, path)
    _sync_folder(path.parent)


class _DamagedError(Exception):
    """A checkpoint cannot be used; the message is the reason."""


def _write_snapshot(snapshot: Snapshot, folder: Path) -> None:
    training = {f"optimizer/{name}": tensor for name, tensor in snapshot.optimizer.items()}
    training |= {f"random_state/{name}": tensor for name, tensor in snapshot.random_state.items()}
    write_tensors(snapshot.model, folder / MODEL_FILE)
    write_tensors(training, folder / _TRAINING_FILE)
    _write_json({"step": snapshot.step, "progress": snapshot.progress}, folder / _PROGRESS_FILE)
    files = {name: _fingerprint(folder / name) for name in _CONTENT}
    _write_json({"format": FORMAT, "files": files}, folder / _MANIFEST_FILE)
    _sync_folder(folder)


def _read_snapshot(folder: Path) -> Snapshot:
    _verify(folder)
    try:
        model = load_file(folder / MODEL_FILE)
        training = load_file(folder / _TRAINING_FILE)
        record = json.loads((folder / _PROGRESS_FILE).read_bytes())
        step, progress = record["step"], record["progress"]
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as problem:
        raise _DamagedError(f"cannot be read: {problem}") from problem
    return Snapshot(step, model, _under(training, "optimizer/"), _under(training, "random_state/"), progress)


def _verify(folder: Path) -> None:
    try:
        manifest = json.loads((folder / _MANIFEST_FILE).read_bytes())
        version, files = manifest["format"], manifest["files"]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise _DamagedError(f"{_MANIFEST_FILE} cannot be read: {problem}") from problem
    if version != FORMAT:
        raise _DamagedError(f"it is written in format {version}, and this version of attento reads format {FORMAT}")
    for name in _CONTENT:
        if not isinstance(files, dict) or name not in files:
            raise _DamagedError(f"{_MANIFEST_FILE} does not name {name}")
        try:
            found = _fingerprint(folder / name)
        except OSError as problem:
            raise _DamagedError(f"{name} cannot be read: {problem.strerror}") from problem
        if found != files[name]:
            raise _DamagedError(f"{name} is not what was written: its size or SHA-256 differs from {_MANIFEST_FILE}")


def _fingerprint(path: Path) -> dict[str, int | str]:
    with path.open("rb") as file:
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _write_json(tree: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(tree, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    sync_file(path)


def _sync_folder(folder: Path) -> None:
    # Windows opens no folder for syncing.
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _hidden(final: Path, role: str) -> Path:
    return final.with_name(f".{final.name}.{role}")


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("step-"))

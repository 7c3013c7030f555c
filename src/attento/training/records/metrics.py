"""The record of a training run: one JSON object a line in `metrics.jsonl`, and the same numbers for TensorBoard.

A run that was cut off and goes on from an earlier step takes back what it had written beyond that step, so that the
file tells one straight story. Knows no metric by name.
"""

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeAlias, runtime_checkable

from attento.errors import MissingExtraError, TrainingError
from attento.training.records.checkpoint import replace_file, sync_file

Value: TypeAlias = bool | int | float | str | None


@runtime_checkable
class _Board(Protocol):
    """The part of torch's SummaryWriter that is used here; the class itself may not be installed."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class MetricsLog:
    """Appends records to a file; each is on its way to the disk when `write` returns."""

    def __init__(self, path: Path, *, tensorboard: Path | None = None, resume_step: int | None = None) -> None:
        """Open the record.

        Args:
            path: the JSON-lines file; made with its folder where missing.
            tensorboard: folder for TensorBoard's event files, or None for no such files.
            resume_step: the step that training goes on from: later records are dropped. None starts a new story.

        Raises:
            TrainingError: the file cannot be read or written.
            MissingExtraError: TensorBoard is asked for and not installed.
        """
        self.path = path
        self._board: _Board | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _drop_later(path, resume_step)
            if tensorboard is not None:
                # TensorBoard hides what an earlier process showed from this step on.
                self._board = _open_board(tensorboard, purge_step=0 if resume_step is None else resume_step + 1)
            self._file = path.open("a", buffering=1, encoding="utf-8", newline="\n")
        except OSError as problem:
            raise _cannot_write(path, problem) from problem

    def write(self, step: int, values: Mapping[str, Value]) -> None:
        """Append one record; a number that is not finite is written as null and not shown in TensorBoard.

        Raises:
            TrainingError: the disk is full or the file cannot be written.
        """
        plain = {name: _or_null(value) for name, value in values.items()}
        try:
            self._file.write(json.dumps({"step": step, **plain}, ensure_ascii=False, allow_nan=False) + "\n")
            if self._board is not None:
                for name, value in plain.items():
                    if isinstance(value, int | float) and not isinstance(value, bool):
                        self._board.add_scalar(name, value, step)
                self._board.flush()
        except OSError as problem:
            raise _cannot_write(self.path, problem) from problem

    def close(self) -> None:
        """Close the files; further calls do nothing."""
        try:
            self._file.close()
            if self._board is not None:
                self._board.close()
                self._board = None
        except OSError as problem:
            raise _cannot_write(self.path, problem) from problem

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _or_null(value: Value) -> Value:
    # JSON knows no NaN and no infinity.
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _drop_later(path: Path, resume_step: int | None) -> None:
    if not path.exists():
        return
    old = path.read_bytes()
    kept = b"".join(line + b"\n" for line in old.split(b"\n") if _is_up_to(line, resume_step))
    if kept == old:
        return
    writing = path.with_name(f".{path.name}.writing")
    try:
        writing.write_bytes(kept)
        sync_file(writing)
        replace_file(writing, path)
    finally:
        with contextlib.suppress(OSError):
            writing.unlink(missing_ok=True)


def _is_up_to(line: bytes, resume_step: int | None) -> bool:
    # A killed process leaves a cut line, a power cut may leave zeros; neither is a record.
    try:
        record = json.loads(line)
    except ValueError:
        return False
    step = record.get("step") if isinstance(record, dict) else None
    return resume_step is not None and isinstance(step, int) and step <= resume_step


def _open_board(folder: Path, purge_step: int) -> _Board:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as problem:
        raise MissingExtraError("tensorboard", "train") from problem
    return SummaryWriter(os.fspath(folder), purge_step=purge_step)


def _cannot_write(path: Path, problem: OSError) -> TrainingError:
    return TrainingError(
        f"{path}: the training record cannot be written ({problem}); free some space or mend the folder, "
        "then run the same command again"
    )

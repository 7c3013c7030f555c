"""What prepared folders share, whatever their task: the record that names it, and arrays."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attento.config import SettingsT, check_settings
from attento.errors import ConfigError, DataError

RECORD_FILE = "prepared.json"
TOKENIZER_FILE = "tokenizer.model"


def read_task_record(path: Path, task: str, version: int) -> dict[str, Any]:
    """Return what the record of a prepared folder says.

    Raises:
        DataError: there is none, or it is damaged, of another task or of another format.
    """
    try:
        record = json.loads((path / RECORD_FILE).read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: is not a prepared folder (no {RECORD_FILE}); `attento prepare` makes one") from None
    except (OSError, ValueError) as problem:
        raise DataError(f"{path / RECORD_FILE}: cannot be read ({problem}); prepare the data again") from problem
    found = record.get("task", "translation") if isinstance(record, dict) else None
    if found is not None and found != task:
        raise DataError(
            f"{path}: was prepared for the task `{found}`, not for `{task}`; name the folder of this task, or prepare "
            "its data into another one"
        )
    if found is None or record.get("format") != version:
        raise DataError(f"{path}: was prepared by another version of Attento; prepare the data again")
    return record  # type: ignore[no-any-return]  # held by the line above


def recorded_settings(record: Mapping[str, Any], kind: type[SettingsT], path: Path) -> SettingsT:
    """Return the settings that a folder was prepared with.

    Raises:
        DataError: they are not such settings.
    """
    try:
        return check_settings(kind, record["settings"], origin=str(path / RECORD_FILE))
    except ConfigError as problem:
        raise DataError(f"{problem}; prepare the data again") from problem


def save_array(path: Path, values: NDArray[np.generic]) -> None:
    """Write an array that `open_array` maps."""
    np.save(path, values, allow_pickle=False)


def open_array(path: Path, kind: type[np.integer[Any]], dimensions: int = 1) -> NDArray[Any]:
    """Open an array of integers; it stays on the disk and is read where it is looked at.

    Raises:
        DataError: the file is missing or damaged, or holds another kind of array.
    """
    try:
        values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise DataError(f"{path}: cannot be read ({problem}); prepare the data again") from problem
    if values.dtype != kind or values.ndim != dimensions:
        raise DataError(f"{path}: holds no array of this folder; prepare the data again")
    return values


def write_json(path: Path, value: object) -> None:
    """Write a value for programs and people."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")

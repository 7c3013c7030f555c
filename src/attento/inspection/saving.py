"""A trace as two files: arrays as `.npz`, and as JSON what they are. Nothing in them is code: no pickle."""

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from attento.errors import InputError
from attento.inspection.trace import Attention, Trace, as_numpy

_FORMAT = "attento trace 1"
_ABOUT = ("name", "kind", "layer", "rows", "columns")
_ARRAYS = tuple(each.name for each in fields(Attention) if each.name not in _ABOUT)


def save(trace: Trace, path: Path) -> None:
    """Write PATH.npz, the arrays, and PATH.json: what they are, their shapes, and the tokens.

    An array of an attention is called "MODULE TEXT ARRAY" in the file, as "decoder.0.cross_attention target weights".
    Formats that numpy lacks become float32.

    Raises:
        InputError: the files cannot be written; what was there before is left as it was.
    """
    arrays = {name: as_numpy(array) for name, array in trace.arrays.items()}
    attentions = []
    for each in trace.attentions:
        here = {name: f"{each.name} {each.rows} {name}" for name in _ARRAYS if getattr(each, name) is not None}
        arrays |= {called: as_numpy(getattr(each, name)) for name, called in here.items()}
        attentions.append({name: getattr(each, name) for name in _ABOUT} | {"arrays": here})
    about = {
        "format": _FORMAT,
        "attentions": attentions,
        "arrays": list(trace.arrays),
        "shapes": {name: array.shape for name, array in arrays.items()},
        "tokens": trace.tokens,
    }
    text = json.dumps(about, ensure_ascii=False, indent=1) + "\n"
    npz, described = _paths(path)
    _write({npz: lambda file: np.savez(file, **arrays), described: lambda file: file.write(text.encode())})  # type: ignore[arg-type]


def load(path: Path) -> Trace:
    """Read what `save` has written.

    Raises:
        InputError: a file is missing, damaged or of another make.
    """
    npz, described = _paths(path)
    try:
        about = json.loads(described.read_text(encoding="utf-8"))
        if not isinstance(about, dict) or about.get("format") != _FORMAT:
            raise InputError(f"{described} is no trace that this version reads: its `format` is not `{_FORMAT}`")
        with np.load(npz, allow_pickle=False) as file:
            arrays = {name: _checked(file[name], shape) for name, shape in about["shapes"].items()}
        return _trace(about, arrays)
    except OSError as problem:
        raise InputError(f"{problem.filename or npz} cannot be read: {problem.strerror or problem}") from problem
    except (ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as problem:
        raise InputError(f"{described} and {npz} are damaged or do not belong together: {problem}") from problem


def _trace(about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Trace:
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return Trace(
        [
            Attention(
                **{name: each[name] for name in _ABOUT} | {name: tensors[key] for name, key in each["arrays"].items()}
            )
            for each in about["attentions"]
        ],
        {name: tensors[name] for name in about["arrays"]},
        about["tokens"],
    )


def _checked(array: NDArray[Any], shape: list[int]) -> NDArray[Any]:
    if list(array.shape) != shape:
        raise ValueError(f"an array of shape {list(array.shape)} should have {shape}")
    return array


def _paths(path: Path) -> tuple[Path, Path]:
    stem = path.with_suffix("") if path.suffix in (".npz", ".json") else path
    return stem.with_name(stem.name + ".npz"), stem.with_name(stem.name + ".json")


def _write(files: Mapping[Path, Callable[[BinaryIO], Any]]) -> None:
    """Write files whole or not at all: beside their places first."""
    beside = {path: path.with_name(path.name + ".part") for path in files}
    try:
        for path, write in files.items():
            with beside[path].open("wb") as file:
                write(file)
        for path, written in beside.items():
            written.replace(path)
    except OSError as problem:
        raise InputError(f"a trace cannot be written to {next(iter(files))}: {problem.strerror}") from problem
    finally:
        for written in beside.values():
            written.unlink(missing_ok=True)

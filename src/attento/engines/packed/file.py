"""The model file of the native engine, `model.attento`: a run's settings, weights and tokenizers, packed to be mapped.

Little-endian. All records have a fixed size, so that nothing has to be parsed. `native/src/model_file.h` is the same
file seen from the engine:

    header   "ATTENTO" and a line feed, u32 version = 1, u32 number of settings, u32 number of tensors,
             u32 zero, u64 bytes of the whole file, u64 checksum of all records behind the header       40 bytes
    setting  char name[40] filled with zeros, f64 value                                                48 bytes
    tensor   char name[72] filled with zeros, u32 number, u32 rank, u64 shape[3] (zeros behind the rank), u64 offset,
             u64 bytes, u64 checksum                                                                  128 bytes
    data     each tensor at its offset, a multiple of 64

A tensor whose name ends in ".weight" is a matrix: its shape is outputs and inputs, its data are the panels of
`engines.packed.panels`. Needs no torch.
"""

import math
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from attento.engines.packed.panels import (
    DTYPES,
    GROUPS,
    PANEL,
    Floats,
    Number,
    PackedMatrix,
    StoredTensor,
    panels_shape,
)
from attento.errors import RunFolderError

_MAGIC, _VERSION = b"ATTENTO\n", 1
_ALIGNMENT = 64
_MAX_RANK, _MAX_SIZE = 3, 2**31 - 1
_FILE = "file:"
# What is put inside goes into a folder when it is read: it must not go elsewhere.
_FILE_NAME = re.compile(r"file:\w[\w.-]*", re.ASCII)
_HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("version", "<u4"),
        ("settings", "<u4"),
        ("tensors", "<u4"),
        ("zero", "<u4"),
        ("bytes", "<u8"),
        ("checksum", "<u8"),
    ]
)
_SETTING = np.dtype([("name", "S40"), ("value", "<f8")])
_TENSOR = np.dtype(
    [
        ("name", "S72"),
        ("number", "<u4"),
        ("rank", "<u4"),
        ("shape", "<u8", (_MAX_RANK,)),
        ("offset", "<u8"),
        ("bytes", "<u8"),
        ("checksum", "<u8"),
    ]
)
# The part of a checksum that is made at once, in words: what a processor keeps near.
_CHUNK = 1 << 15
_ODD = np.arange(_CHUNK, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_WORD = (1 << 64) - 1


@dataclass(frozen=True)
class PackedModel:
    """A model file, mapped and checked: processes that open the same file share its memory.

    Attributes:
        path: the file.
        settings: every setting by its name.
        tensors: every tensor by its name; the data are views of the file.
    """

    path: Path
    settings: Mapping[str, float]
    tensors: Mapping[str, StoredTensor]

    def has(self, name: str) -> bool:
        """Return whether there is a tensor of that name."""
        return name in self.tensors

    def has_matrix(self, name: str) -> bool:
        """Return whether there is a matrix of that name."""
        return self.has(f"{name}.weight")

    def whole(self, name: str, least: int, most: int) -> int:
        """Return a setting that is a whole number within limits.

        Raises:
            RunFolderError: it is missing or is none.
        """
        value = self.real(name)
        if value != int(value) or not least <= value <= most:
            raise self._error(f"the setting `{name}` is {value:g}, but must be a whole number from {least} to {most}")
        return int(value)

    def real(self, name: str) -> float:
        """Return a setting.

        Raises:
            RunFolderError: it is missing.
        """
        if name not in self.settings:
            raise self._error(f"the setting `{name}` is missing")
        return self.settings[name]

    def floats(self, name: str, shape: tuple[int, ...] | None = None) -> Floats:
        """Return a tensor of 32-bit floats, of a shape if one is told.

        Raises:
            RunFolderError: there is none of that name, or of another kind or shape.
        """
        return cast(Floats, self._array(name, Number.F32, shape))

    def doubles(self, name: str, shape: tuple[int, ...] | None = None) -> NDArray[np.float64]:
        """Return a tensor of 64-bit floats, of a shape if one is told.

        Raises:
            RunFolderError: there is none of that name, or of another kind or shape.
        """
        return cast("NDArray[np.float64]", self._array(name, Number.F64, shape))

    def matrix(self, name: str, outputs: int | None = None, inputs: int | None = None) -> PackedMatrix:
        """Return a matrix with what belongs to it, of a size if one is told.

        Raises:
            RunFolderError: there is none of that name, or of another size, or what belongs to it does not fit.
        """
        stored = self._tensor(f"{name}.weight")
        found = stored.shape[0], stored.shape[1]
        wanted = found[0] if outputs is None else outputs, found[1] if inputs is None else inputs
        if found != wanted:
            raise self._misfit(f"{name}.weight", found, wanted)
        padded = (-(-found[0] // PANEL) * PANEL,)
        scales: NDArray[Any] | None = None
        sums: NDArray[Any] | None = None
        if stored.number is Number.INT8:
            scales = self._array(f"{name}.scales", Number.F32, padded)[: found[0]]
            sums = self._array(f"{name}.sums", Number.I32, padded)[: found[0]]
        bias = self.floats(f"{name}.bias", padded)[: found[0]] if self.has(f"{name}.bias") else None
        return PackedMatrix(stored.number, *found, stored.data, scales, sums, bias)

    def file(self, name: str) -> bytes:
        """Return what a file holds that was put inside.

        Raises:
            RunFolderError: there is none of that name.
        """
        return self._array(f"{_FILE}{name}", Number.BYTES, None).tobytes()

    @property
    def files(self) -> list[str]:
        """The names of the files that were put inside."""
        return [name.removeprefix(_FILE) for name in self.tensors if name.startswith(_FILE)]

    def _array(self, name: str, number: Number, shape: tuple[int, ...] | None) -> NDArray[Any]:
        stored = self._tensor(name)
        if stored.number is not number:
            raise self._error(f"`{name}` holds {stored.number.name.lower()}, but must hold {number.name.lower()}")
        if shape is not None and stored.shape != shape:
            raise self._misfit(name, stored.shape, shape)
        return stored.data

    def _tensor(self, name: str) -> StoredTensor:
        if name not in self.tensors:
            raise self._error(f"`{name}` is missing")
        return self.tensors[name]

    def _misfit(self, name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> RunFolderError:
        return self._error(f"`{name}` has shape {found}, but must have {wanted}")

    def _error(self, problem: str) -> RunFolderError:
        return _error(self.path, problem)


def write_packed(path: Path, settings: Mapping[str, float], tensors: Mapping[str, StoredTensor]) -> None:
    """Write a model file; it is not flushed to the disk."""
    header = np.zeros((), _HEADER)
    records = np.zeros(len(tensors), _TENSOR)
    named = np.array([(_name(name, 40), value) for name, value in settings.items()], _SETTING)
    end = header.nbytes + named.nbytes + records.nbytes
    for record, (name, tensor) in zip(records, tensors.items(), strict=True):
        record["name"], record["number"], record["rank"] = _name(name, 72), tensor.number, len(tensor.shape)
        record["shape"][: len(tensor.shape)] = tensor.shape
        record["offset"] = end + -end % _ALIGNMENT
        record["bytes"] = tensor.data.nbytes
        record["checksum"] = checksum(_bytes(tensor.data))
        end = int(record["offset"]) + tensor.data.nbytes
    behind = named.tobytes() + records.tobytes()
    header[()] = (_MAGIC, _VERSION, len(settings), len(tensors), 0, end, checksum(np.frombuffer(behind, np.uint8)))
    with path.open("wb") as file:
        file.write(header.tobytes() + behind)
        for record, tensor in zip(records, tensors.values(), strict=True):
            _write_at(file, int(record["offset"]), tensor.data)


def read_packed(path: Path) -> PackedModel:
    """Map a model file and check all of it.

    Raises:
        RunFolderError: it cannot be read, or something in it is not as it was written.
    """
    data = _map(path)
    rows, records = _read_records(path, data)
    settings: dict[str, float] = {}
    for row in rows:
        name, value = _read_name(path, row, settings), float(row["value"])
        if not math.isfinite(value):
            raise _error(path, f"the setting `{name}` is no number")
        settings[name] = value
    # Otherwise many tensors could share their data, and to check it would take for ever.
    if sum(records["bytes"].tolist()) > data.size:
        raise _error(path, "is damaged: its tensors are larger than the file")
    first = _HEADER.itemsize + rows.nbytes + records.nbytes
    tensors: dict[str, StoredTensor] = {}
    for record in records:
        name = _read_name(path, record, tensors)
        tensors[name] = _read_tensor(path, data, name, record, first)
    return PackedModel(path, settings, tensors)


def checksum(data: NDArray[np.uint8]) -> int:
    """Sum the little-endian 64-bit words w_i of some bytes, the last filled with zeros, as w_i (2 i + 1) mod 2^64."""
    whole = data.size // 8 * 8
    words = data[:whole].view("<u8")
    total = 0
    for start in range(0, words.size, _CHUNK):
        chunk = words[start : start + _CHUNK]
        total += int(np.dot(chunk, _ODD[: chunk.size])) + 2 * start * int(chunk.sum())
    last = int.from_bytes(data[whole:].tobytes(), "little")
    return (total + last * (2 * words.size + 1)) & _WORD


def _map(path: Path) -> NDArray[np.uint8]:
    # Not every path can be mapped: to open a pipe would be to wait.
    if not path.is_file():
        raise RunFolderError(f"{path}: no such file; `attento export RUN --format native` makes it")
    try:
        return np.memmap(path, np.uint8, "r").view(np.ndarray)
    except (OSError, ValueError) as problem:  # ValueError: an empty file
        raise _error(path, f"cannot be read ({problem})") from problem


def _read_records(path: Path, data: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the records of settings and tensors, once the header is found right."""
    if data.size < _HEADER.itemsize:
        raise _error(path, "is no model file: it is too short")
    header = data[: _HEADER.itemsize].view(_HEADER)[0]
    if header["magic"] != _MAGIC:
        raise _error(path, "is no model file")
    if header["version"] > _VERSION:
        raise _error(
            path,
            f"was made by a newer version: it is of format {header['version']}, but only {_VERSION} can be read; "
            "update attento",
        )
    if header["bytes"] != data.size:
        raise _error(path, f"has {data.size} bytes, but must have {header['bytes']}: it is cut off or damaged")
    tensors_at = _HEADER.itemsize + int(header["settings"]) * _SETTING.itemsize
    end = tensors_at + int(header["tensors"]) * _TENSOR.itemsize
    if header["version"] == 0 or header["zero"] != 0 or end > data.size:
        raise _error(path, "is damaged: its header is wrong")
    behind = data[_HEADER.itemsize : end]
    if checksum(behind) != header["checksum"]:
        raise _error(path, "is damaged: the checksum of its records is wrong")
    return data[_HEADER.itemsize : tensors_at].view(_SETTING), data[tensors_at:end].view(_TENSOR)


def _read_tensor(path: Path, data: NDArray[np.uint8], name: str, record: Any, first: int) -> StoredTensor:
    if record["number"] not in list(Number):
        raise _error(path, f"`{name}` holds an unknown kind of numbers, {record['number']}")
    number, rank = Number(int(record["number"])), int(record["rank"])
    if not 1 <= rank <= _MAX_RANK:
        raise _error(path, f"`{name}` has {rank} axes, but must have one to {_MAX_RANK}")
    shape = tuple(int(size) for size in record["shape"][:rank])
    stored = _stored_shape(path, name, number, shape)
    needed = math.prod(stored) * DTYPES[number].itemsize
    offset, size = int(record["offset"]), int(record["bytes"])
    if record["shape"][rank:].any() or size != needed:
        raise _error(path, f"`{name}` has {size} bytes, which is not what its shape {shape} needs")
    if offset % _ALIGNMENT or not first <= offset <= data.size - size:
        raise _error(path, f"`{name}` does not stand where it can")
    found = data[offset : offset + size]
    if checksum(found) != record["checksum"]:
        raise _error(path, f"is damaged: the checksum of `{name}` is wrong")
    values = found.view(DTYPES[number]).reshape(stored)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise _error(path, f"`{name}` holds what is no number")
    return StoredTensor(number, shape, values)


def _stored_shape(path: Path, name: str, number: Number, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a tensor's numbers as they lie in the file."""
    least = 0 if number is Number.BYTES else 1
    if not all(least <= size <= _MAX_SIZE for size in shape):
        raise _error(path, f"`{name}` has shape {shape}, but every size must be from {least} to {_MAX_SIZE}")
    if name.endswith(".weight"):
        if number not in GROUPS or len(shape) != 2:
            raise _error(path, f"`{name}` is no matrix of f32, int8 or bf16")
        return panels_shape(number, *shape)
    return shape


def _read_name(path: Path, record: Any, others: Container[str]) -> str:
    field: bytes = record["name"]
    # One zero at least must stand behind it.
    if not 0 < len(field) < record.dtype["name"].itemsize or not all(32 < byte < 127 for byte in field):
        raise _error(path, f"is damaged: {field!r} is no name")
    name = field.decode("ascii")
    if name in others:
        raise _error(path, f"is damaged: it has `{name}` twice")
    if name.startswith(_FILE) and not _FILE_NAME.fullmatch(name):
        raise _error(path, f"is damaged: `{name}` is no plain name of a file")
    return name


def _name(name: str, size: int) -> bytes:
    encoded = name.encode("ascii")
    assert 0 < len(encoded) < size, name
    return encoded


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)


def _write_at(file: BinaryIO, offset: int, values: NDArray[Any]) -> None:
    file.write(bytes(offset - file.tell()))
    file.write(_bytes(values).data)


def _error(path: Path, problem: str) -> RunFolderError:
    return RunFolderError(f"{path}: {problem}; export it again with `attento export RUN --format native`")

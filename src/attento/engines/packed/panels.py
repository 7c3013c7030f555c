"""Matrices of weights as the native engine reads them: cut into panels, in one of three kinds of numbers.

y = W x + b with W of N outputs and K inputs lies as [N / 32][K / g][32][g], both rounded up and filled with zeros: the
inputs that one instruction multiplies at once, g of them, stand side by side for 32 outputs in a row.

"int8" is symmetric with a scale for each output: w is about q s with s = max |w| / 127 and q = rint(w / s). "bf16" is
the upper half of a float32, rounded to the nearest, to the even one at a tie. Needs no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
ComputeType: TypeAlias = Literal["int8", "bf16", "fp32"]
"""What numbers matrices are multiplied in."""

PANEL = 32
"""How many outputs one panel has."""


class Number(IntEnum):
    """How numbers are stored; the values stand in the file and never change."""

    F32 = 0
    INT8 = 1
    BF16 = 2
    I32 = 3
    F64 = 4
    BYTES = 5


DTYPES: dict[Number, np.dtype[Any]] = {
    Number.F32: np.dtype("<f4"),
    Number.INT8: np.dtype("i1"),
    Number.BF16: np.dtype("<u2"),  # the bits
    Number.I32: np.dtype("<i4"),
    Number.F64: np.dtype("<f8"),
    Number.BYTES: np.dtype("u1"),
}
"""What numpy reads each kind as."""
GROUPS: dict[Number, int] = {Number.F32: 1, Number.INT8: 4, Number.BF16: 2}
"""How many inputs of an output stand side by side, for the kinds of numbers that matrices are made of."""
COMPUTE_NUMBERS: dict[ComputeType, Number] = {"int8": Number.INT8, "bf16": Number.BF16, "fp32": Number.F32}
"""The kind of numbers that the matrices of a compute type are made of."""


@dataclass(frozen=True)
class StoredTensor:
    """An array as it lies in the file.

    Attributes:
        number: the kind of its numbers.
        shape: one to three sizes; of a matrix its outputs and inputs, whatever its panels are filled up to.
        data: the numbers in the order of the file.
    """

    number: Number
    shape: tuple[int, ...]
    data: NDArray[Any]


@dataclass(frozen=True)
class PackedMatrix:
    """A matrix out of the file, in its panels.

    Attributes:
        number: F32, INT8 or BF16.
        outputs: N.
        inputs: K.
        panels: [N / 32, K / g, 32, g], rounded up; bf16 as bits.
        scales: what each output's integers are multiplied by, [N]; of int8 alone.
        sums: the sum of each output's integers, [N]; of int8 alone.
        bias: what is added to each output, [N], where there is one.
    """

    number: Number
    outputs: int
    inputs: int
    panels: NDArray[Any]
    scales: Floats | None = None
    sums: NDArray[np.int32] | None = None
    bias: Floats | None = None

    @property
    def integers(self) -> NDArray[np.int8]:
        """The integers of int8, [N, K]."""
        assert self.number is Number.INT8
        return unpack_panels(self.panels, self.outputs, self.inputs)

    def dense(self) -> Floats:
        """Return the weights that the numbers stand for, [N, K]."""
        numbers = unpack_panels(self.panels, self.outputs, self.inputs)
        if self.number is Number.BF16:
            return widen_bf16(numbers)
        values: Floats = numbers.astype(np.float32)
        return values if self.scales is None else values * self.scales[:, None]


def pack_matrix(name: str, weight: Floats, compute_type: ComputeType, bias: Floats | None) -> dict[str, StoredTensor]:
    """Return the tensors that a matrix is stored as.

    Args:
        name: what their names begin with.
        weight: W, [N, K].
        compute_type: the kind of numbers.
        bias: b, [N], where there is one.
    """
    number, (outputs, inputs) = COMPUTE_NUMBERS[compute_type], weight.shape
    stored = {}
    numbers: NDArray[Any] = weight.astype(np.float32)
    if number is Number.INT8:
        numbers, scales = quantize(weight)
        stored[f"{name}.scales"] = store(_fill(scales))
        stored[f"{name}.sums"] = store(_fill(numbers.sum(axis=1, dtype=np.int32)))
    elif number is Number.BF16:
        numbers = round_bf16(weight)
    panels = pack_panels(numbers, GROUPS[number]).astype(DTYPES[number])
    stored[f"{name}.weight"] = StoredTensor(number, (outputs, inputs), panels)
    if bias is not None:
        stored[f"{name}.bias"] = store(_fill(bias.astype(np.float32)))
    return stored


def store(values: NDArray[Any]) -> StoredTensor:
    """Return an array of float32, int32, float64 or bytes (uint8) as it is stored."""
    kinds: Mapping[str, Number] = {"f4": Number.F32, "i4": Number.I32, "f8": Number.F64, "u1": Number.BYTES}
    number = kinds[values.dtype.str[1:]]
    return StoredTensor(number, values.shape, np.ascontiguousarray(values, DTYPES[number]))


def quantize(weight: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Return integers from -127 to 127, [N, K], and the scale of each output, [N]; one without weights has scale 0."""
    scales = (np.abs(weight).max(axis=1) / np.float32(127)).astype(np.float32)
    # In float64, so that a quotient close to a half is rounded to the right side.
    divisors = np.where(scales == 0, 1, scales).astype(np.float64)[:, None]
    whole = np.rint(np.where(scales[:, None] == 0, 0, weight) / divisors)
    return np.clip(whole, -127, 127).astype(np.int8), scales


def round_bf16(values: Floats) -> NDArray[np.uint16]:
    """Return the bits of the nearest bfloat16 of finite values; of two as near, the one whose last bit is 0."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) >> np.uint32(16)
    return rounded.astype(np.uint16)


def widen_bf16(bits: NDArray[np.uint16]) -> Floats:
    """Return the values of bfloat16 bits."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def pack_panels(numbers: NDArray[Any], group: int) -> NDArray[Any]:
    """Cut [N, K] into panels [N / 32, K / group, 32, group], rounded up and filled with zeros."""
    outputs, inputs = numbers.shape
    filled = np.pad(numbers, ((0, -outputs % PANEL), (0, -inputs % group)))
    panels = filled.reshape(-(-outputs // PANEL), PANEL, -1, group)
    return np.ascontiguousarray(panels.transpose(0, 2, 1, 3))


def unpack_panels(panels: NDArray[Any], outputs: int, inputs: int) -> NDArray[Any]:
    """Return the [outputs, inputs] that were cut into panels."""
    count, groups, _, group = panels.shape
    whole = panels.transpose(0, 2, 1, 3).reshape(count * PANEL, groups * group)
    return np.ascontiguousarray(whole[:outputs, :inputs])


def panels_shape(number: Number, outputs: int, inputs: int) -> tuple[int, int, int, int]:
    """Return the shape of a matrix's panels."""
    group = GROUPS[number]
    return -(-outputs // PANEL), -(-inputs // group), PANEL, group


def _fill(values: NDArray[Any]) -> NDArray[Any]:
    return np.pad(values, (0, -values.size % PANEL))

"""Linear maps in the numbers of the packed file: float32, bfloat16, or integers of 8 bits.

With integers every output has a scale, every row of inputs gets one as it comes, and the products of integers are
summed exactly (the vector-wise quantization of Dettmers et al. 2022, arXiv:2208.07339, section 3.1).
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from attento.engines.packed.file import PackedModel
from attento.engines.packed.panels import Floats, Number, round_bf16, widen_bf16

Ids: TypeAlias = NDArray[np.int64]

# So many products of integers within 127 have a sum below 2^24, which float32 holds exactly.
_EXACT_INPUTS = 1024


@dataclass(frozen=True)
class Linear:
    """y = W x + b over the last axis of what comes in; a row's result depends on no other row."""

    number: Number
    weight: Floats  # (O, I); the integers of int8
    scales: Floats | None  # (O,), of int8 alone
    bias: Floats | None  # (O,)

    @classmethod
    def read(cls, file: PackedModel, name: str, outputs: int, inputs: int) -> "Linear":
        """Take a matrix of this size out of a file.

        Raises:
            RunFolderError: it is missing or has another size.
        """
        matrix = file.matrix(name, outputs, inputs)
        weight = matrix.integers.astype(np.float32) if matrix.number is Number.INT8 else matrix.dense()
        return cls(matrix.number, weight, matrix.scales, matrix.bias)

    def __call__(self, x: Floats) -> Floats:
        """Map every row."""
        if self.scales is not None:
            integers, row_scales = quantize_rows(x)
            y = _integer_product(integers, self.weight) * (row_scales * self.scales)
        else:
            y = (bfloat16(x) if self.number is Number.BF16 else x) @ self.weight.T
        return y if self.bias is None else y + self.bias

    def rows(self, outputs: Ids) -> Floats:
        """Return the weights of some outputs: the vectors of tokens, where the matrix is an embedding."""
        rows = self.weight[outputs]
        return rows if self.scales is None else rows * self.scales[outputs][..., None]


def quantize_rows(x: Floats) -> tuple[Floats, Floats]:
    """Return each row's integers, from -127 to 127, and its scale, which has an axis of length 1; zeros stay zeros."""
    largest = np.abs(x).max(axis=-1, keepdims=True)
    steps = np.divide(np.float32(127), largest, out=np.zeros_like(largest), where=largest != 0)
    return np.rint(x * steps), largest / np.float32(127)


def bfloat16(x: Floats) -> Floats:
    """Round to the numbers that bfloat16 has."""
    return widen_bf16(round_bf16(x))


def _integer_product(x: Floats, weight: Floats) -> Floats:
    """Return x W^T of integers: the exact sum, rounded to float32 once."""
    total = np.zeros((*x.shape[:-1], len(weight)))
    for first in range(0, x.shape[-1], _EXACT_INPUTS):
        part = slice(first, first + _EXACT_INPUTS)
        total += x[..., part] @ weight[:, part].T
    return total.astype(np.float32)

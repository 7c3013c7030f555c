"""Join what was seen step by step into arrays as one pass over all tokens would have shown them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Piece:
    """What was seen at one step: arrays of some rows, each with the same tokens."""

    rows: Tensor | None
    """Which rows of the first step these are; None for all."""
    arrays: dict[str, Tensor]


def join(pieces: Sequence[Piece], name: str) -> Tensor:
    """Put arrays one behind the other along axis 1; what no step has is zeros."""
    arrays = [piece.arrays[name] for piece in pieces]
    starts, start = [], 0
    for array in arrays:
        starts.append((start,) + (0,) * (array.dim() - 2))
        start += array.size(1)
    return _assemble([piece.rows for piece in pieces], arrays, starts)


def join_attention(pieces: Sequence[Piece], itself: bool) -> dict[str, Tensor]:
    """Put an attention's arrays together: queries one behind the other, keys where they stand in their text.

    Args:
        pieces: the steps.
        itself: whether a text looks at itself, so that its keys grow with it, and old ones may be forgotten.
    """
    rows = [piece.rows for piece in pieces]
    weights = [piece.arrays["weights"] for piece in pieces]
    # How many tokens were read before the recording began.
    before = max(0, weights[0].size(3) - weights[0].size(2)) if itself else 0
    queries, keys, read = [], [], 0
    for each in weights:
        queries.append(read)
        read += each.size(2)
        keys.append(before + read - each.size(3) if itself else 0)
    joined = {}
    for name in pieces[0].arrays:
        arrays = [piece.arrays[name] for piece in pieces]
        places = zip(queries, keys, strict=True)
        match name:
            case "weights" | "scores":
                starts = [(0, query, key) for query, key in places]
            case "key" | "value":
                starts = [(0, key, 0) for _, key in places]
            case _:
                starts = [(0, query, 0) for query, _ in places]
        joined[name] = _assemble(rows, arrays, starts, -math.inf if name == "scores" else 0.0)
    return joined


def _assemble(
    rows: Sequence[Tensor | None], arrays: Sequence[Tensor], starts: Sequence[tuple[int, ...]], empty: float = 0.0
) -> Tensor:
    """Put arrays into one: each at its rows, and at where it starts on every further axis."""
    first = arrays[0]
    if len(arrays) == 1:
        return first
    ends = [
        [start + size for start, size in zip(at, array.shape[1:], strict=True)]
        for at, array in zip(starts, arrays, strict=True)
    ]
    whole = first.new_full((len(first), *map(max, zip(*ends, strict=True))), empty)
    for chosen, array, at, end in zip(rows, arrays, starts, ends, strict=True):
        here = torch.arange(len(array), device=array.device) if chosen is None else chosen
        place: tuple[Any, ...] = (here, *(slice(*bounds) for bounds in zip(at, end, strict=True)))
        whole[place] = array
    return whole

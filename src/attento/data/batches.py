"""Batches of any task: what the training loop asks of them, and how rows are cut into them and padded."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from attento.errors import DataError
from attento.text.special import EOS_ID, PAD_ID


@dataclass(frozen=True)
class Position:
    """A place in the endless row of batches: the batch `index` of a `pool` of an epoch, all counted from 0."""

    epoch: int = 0
    pool: int = 0
    index: int = 0


START = Position()


@runtime_checkable
class TrainingBatch(Protocol):
    """Some rows of tensors, with what is to be predicted for them."""

    @property
    def num_rows(self) -> int:
        """Rows, which are what can be shared out."""
        ...

    @property
    def num_places(self) -> int:
        """Places for tokens, padding included."""
        ...

    @property
    def num_source_tokens(self) -> int:
        """Tokens that are only read, without padding."""
        ...

    @property
    def num_target_tokens(self) -> int:
        """Tokens, or labels, that are to be predicted: what the loss is a mean over."""
        ...

    def to(self, device: torch.device | str) -> Self:
        """Return the same batch on a device."""
        ...

    def split(self, parts: int) -> Sequence[Self]:
        """Cut the rows into at most so many groups of nearly equal number."""
        ...


@runtime_checkable
class BatchStream(Protocol):
    """An endless row of batches, the same each time, that can be entered anywhere."""

    def from_position(self, position: Position = START) -> Iterator[tuple[Position, TrainingBatch]]:
        """Yield batches from a place on, for ever, each with the position after it (what a checkpoint stores)."""
        ...


def pad(rows: Sequence[NDArray[np.int32]]) -> tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]:
    """Put eos behind each row and padding behind that; return the ids and the mask of what is no padding."""
    lengths = np.array([len(row) for row in rows])
    columns = np.arange(lengths.max() + 1)
    ids = np.full((len(rows), len(columns)), PAD_ID, dtype=np.int64)
    ids[columns < lengths[:, None]] = np.concatenate(rows)
    ids[np.arange(len(rows)), lengths] = EOS_ID
    return torch.from_numpy(ids), torch.from_numpy(columns <= lengths[:, None])


def check_place(place: str, number: int, count: int, what: str) -> None:
    """Refuse to go on from a place that is not there.

    Raises:
        DataError: there are not so many.
    """
    if number >= count:
        raise DataError(
            f"cannot go on from {place}, which has {count} {what}; "
            "go on with the data, `tokens_per_step` and `seed` that the run was started with"
        )


def even_cuts(tokens: NDArray[np.integer[Any]], limit: int) -> list[int]:
    """Return where to cut rows of so many tokens into batches of at most `limit`: as few as can be, and all alike."""
    ends = np.cumsum(tokens, dtype=np.int64).tolist()
    fewest = len(_cuts(ends, limit))
    # The least limit that needs no more batches: none is a small remainder.
    least = bisect_left(
        range(limit), True, lo=min(ends[-1] // fewest, limit), key=lambda each: len(_cuts(ends, each)) <= fewest
    )
    return _cuts(ends, least)[:-1]


def _cuts(ends: Sequence[int], limit: int) -> list[int]:
    """Return where each batch stops, given running token counts: as late as the limit allows, one pair at least."""
    cuts = []
    stop = tokens_before = 0
    while stop < len(ends):
        stop = max(stop + 1, bisect_right(ends, tokens_before + limit, lo=stop))
        tokens_before = ends[stop - 1]
        cuts.append(stop)
    return cuts


def inference_batches(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Group sentences for translation: longest first, rows times longest row at most `max_tokens`, one row at least.

    The longest group comes first, so that a batch too large for the memory shows at once.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batches = []
    start = 0
    while start < len(order):
        num_rows = max(1, max_tokens // max(1, lengths[order[start]]))
        batches.append(order[start : start + num_rows])
        start += num_rows
    return batches

"""What the training loop asks of a batch, and of the endless row of them, whatever the task."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import torch


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

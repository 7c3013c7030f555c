"""Windows of running text, in an order that a resumed run can find again.

Knows no file format and no model: a text is an array of ids that begins with bos.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Generic, TypeAlias, TypeVar

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from attento.data.batches import START, Position, TrainingBatch, check_place
from attento.errors import ConfigError, DataError
from attento.shapes import TargetIds
from attento.text.special import PAD_ID

BatchT = TypeVar("BatchT", bound=TrainingBatch)
Cuts: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Where windows begin and end, counted in tokens behind the first id of the text."""

_EVALUATION_SEED = 1


@dataclass(frozen=True)
class TextBatch:
    """Windows of text, ready for teacher forcing: output i is the token that follows input i.

    The mask is True on tokens, False on padding. No source is read.
    """

    input: TargetIds
    output: TargetIds
    mask: Bool[Tensor, "B T"]
    num_target_tokens: int
    num_source_tokens: int = 0

    @property
    def num_rows(self) -> int:
        """Windows."""
        return len(self.input)

    @property
    def num_places(self) -> int:
        """Places for tokens to predict, padding included."""
        return self.output.numel()

    def to(self, device: torch.device | str) -> "TextBatch":
        """Return the same batch on a device."""
        return replace(self, input=self.input.to(device), output=self.output.to(device), mask=self.mask.to(device))

    def split(self, parts: int) -> list["TextBatch"]:
        """Cut the rows into `parts` groups of nearly equal number, each padded to its own longest row only.

        A batch of fewer rows than `parts` comes back row by row.
        """
        num_rows = len(self.input)
        lengths = self.mask.sum(dim=1).tolist()
        batches = []
        for start, stop in pairwise(num_rows * part // parts for part in range(parts + 1)):
            if start < stop:
                rows, columns = slice(start, stop), slice(max(lengths[start:stop]))
                batches.append(
                    TextBatch(
                        input=self.input[rows, columns],
                        output=self.output[rows, columns],
                        mask=self.mask[rows, columns],
                        num_target_tokens=sum(lengths[rows]),
                    )
                )
        return batches


class Windows(ABC, Generic[BatchT]):
    """Endless training batches of windows of `context` tokens, at most `tokens_per_step` in a batch.

    The order of an epoch is a pure function of (seed, epoch): the text is cut every `context` tokens from a random
    offset on, the windows are shuffled and dealt into batches of nearly equal number, of one window at least. Nothing
    is dropped: what stands before the offset and after the last cut are shorter windows, so that an epoch holds each
    token but the first exactly once. A text of at most `context` tokens, the first not counted, is one window.
    """

    def __init__(
        self, ids: NDArray[np.int32], context: int, tokens_per_step: int, seed: int, *, window_tokens: int
    ) -> None:
        """Take a text.

        Args:
            ids: the text, behind bos.
            context: how many tokens of it stand in one window.
            tokens_per_step: the most tokens in a batch.
            seed: of the order.
            window_tokens: how many tokens of `tokens_per_step` a full window takes.

        Raises:
            ConfigError: `context` or `tokens_per_step` is out of range.
            DataError: the text has no token behind the first.
        """
        if tokens_per_step < 1:
            raise ConfigError(f"`tokens_per_step` must be at least 1, but got {tokens_per_step}")
        _check_text(ids, context)
        self._ids = ids
        self._context = context
        self._rows = max(1, tokens_per_step // window_tokens)
        self._seed = seed

    def from_position(self, position: Position = START) -> Iterator[tuple[Position, BatchT]]:
        """Yield batches from a place on, for ever, each with the position after it (what a checkpoint stores).

        Raises:
            DataError: there is no such place; data or settings are not those of the position.
        """
        epoch, index = position.epoch, position.index
        check_place(f"pool {position.pool} of epoch {epoch}", position.pool, 1, "pools")
        while True:
            starts, stops, batches = self._epoch(epoch)
            check_place(f"batch {index} of epoch {epoch}", index, len(batches), "batches")
            for number in range(index, len(batches)):
                rows = batches[number]
                last = number + 1 == len(batches)
                after = Position(epoch + 1) if last else Position(epoch, index=number + 1)
                yield after, self._batch(epoch, rows, (starts[rows], stops[rows]))
            epoch, index = epoch + 1, 0

    @abstractmethod
    def _batch(self, epoch: int, numbers: NDArray[np.int64], cuts: Cuts) -> BatchT:
        """Make a batch of some windows of an epoch, numbered in the order of the text."""

    def _epoch(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64], list[NDArray[np.int64]]]:
        """Return where the windows of an epoch begin and end, and which of them make each batch."""
        generator = _generator(self._seed, epoch)
        num_predicted = len(self._ids) - 1
        offset = int(generator.integers(self._context)) if num_predicted > self._context else 0
        inner = np.arange(offset, num_predicted, self._context)
        cuts = np.concatenate(([0] if offset else [], inner, [num_predicted])).astype(np.int64)
        order = generator.permutation(len(cuts) - 1)
        return cuts[:-1], cuts[1:], np.array_split(order, -(-len(order) // self._rows))


class TextWindows(Windows[TextBatch]):
    """Endless training batches of windows that predict `context` tokens each; see `Windows`."""

    def __init__(self, ids: NDArray[np.int32], context: int, tokens_per_step: int, seed: int) -> None:
        super().__init__(ids, context, tokens_per_step, seed, window_tokens=context)

    def _batch(self, epoch: int, numbers: NDArray[np.int64], cuts: Cuts) -> TextBatch:
        return _make_batch(self._ids, *cuts)


def window_generators(seed: int, epoch: int, numbers: NDArray[np.int64]) -> list[np.random.Generator]:
    """Return a source of randomness for each of some windows of an epoch."""
    return [_generator(seed, epoch, number) for number in numbers.tolist()]


def evaluation_generators(numbers: range) -> list[np.random.Generator]:
    """Return a source of randomness for each of some windows in the order of a text, always the same one."""
    return [_generator(_EVALUATION_SEED, number) for number in numbers]


def windows_in_order(ids: NDArray[np.int32], context: int) -> Cuts:
    """Return where windows begin and end that hold every token but the first once, in the order of the text.

    Raises:
        ConfigError: `context` is out of range.
        DataError: the text has no token behind the first.
    """
    _check_text(ids, context)
    starts = np.arange(0, len(ids) - 1, context)
    return starts, np.minimum(starts + context, len(ids) - 1)


def tokens_of(ids: NDArray[np.int32], cuts: Cuts) -> list[NDArray[np.int32]]:
    """Return the tokens of each window."""
    return [np.array(ids[start + 1 : stop + 1]) for start, stop in zip(*cuts, strict=True)]


def evaluation_windows(ids: NDArray[np.int32], context: int, max_tokens: int) -> Iterator[TextBatch]:
    """Yield batches in the order of the text that predict every token but the first exactly once.

    Each window begins afresh: its first input is the token before the first that it predicts, and the model knows
    nothing of what stands further back. A batch predicts at most `max_tokens` tokens, but one window at least.

    Raises:
        ConfigError: `context` is out of range.
        DataError: the text has no token to predict.
    """
    starts, stops = windows_in_order(ids, context)
    rows = max(1, max_tokens // context)
    for first in range(0, len(starts), rows):
        yield _make_batch(ids, starts[first : first + rows], stops[first : first + rows])


def _generator(seed: int, *place: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=place)))


def _check_text(ids: NDArray[np.int32], context: int) -> None:
    if context < 1:
        raise ConfigError(f"`context` must be at least 1, but got {context}")
    if len(ids) < 2:
        raise DataError("the text has no token to predict")


def _make_batch(ids: NDArray[np.int32], starts: NDArray[np.int64], stops: NDArray[np.int64]) -> TextBatch:
    """Make a row of each window, whose inputs are the tokens from `start` to `stop` and whose outputs the next ones."""
    lengths = stops - starts
    columns = np.arange(lengths.max())
    mask = columns < lengths[:, None]
    places = np.where(mask, starts[:, None] + columns, 0)
    inputs, outputs = (np.where(mask, ids[places + ahead], PAD_ID).astype(np.int64) for ahead in (0, 1))
    return TextBatch(
        torch.from_numpy(inputs),
        torch.from_numpy(outputs),
        torch.from_numpy(mask),
        num_target_tokens=int(lengths.sum()),
    )

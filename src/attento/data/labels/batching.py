"""Batches of labelled sentences that fill a token budget, in an order that a resumed run can find again.

Knows no file format and no model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from attento.data.batches import START, Position, check_place, even_cuts, pad
from attento.data.labels.examples import EncodedExample, Examples
from attento.errors import ConfigError, DataError

PaddedSentences: TypeAlias = tuple[Int[Tensor, "B _"], Bool[Tensor, "B _"]]
"""Ids and mask; the sentences of each place in an example have a length of their own."""


@dataclass(frozen=True)
class LabelBatch:
    """Padded sentences, one group for each place in an example, and the numbers of their labels.

    Sentences end in eos. Masks are True on tokens, False on padding. The token count leaves padding out and counts eos.
    What is predicted is one label a row.
    """

    sentences: tuple[PaddedSentences, ...]
    labels: Int[Tensor, " B"]
    num_source_tokens: int

    @property
    def num_target_tokens(self) -> int:
        """Labels."""
        return len(self.labels)

    @property
    def num_rows(self) -> int:
        """Examples."""
        return len(self.labels)

    @property
    def num_places(self) -> int:
        """Places for tokens, padding included."""
        return sum(ids.numel() for ids, _ in self.sentences)

    def to(self, device: torch.device | str) -> "LabelBatch":
        """Return the same batch on a device."""
        moved = tuple((ids.to(device), mask.to(device)) for ids, mask in self.sentences)
        return replace(self, sentences=moved, labels=self.labels.to(device))

    def split(self, parts: int) -> list["LabelBatch"]:
        """Cut the rows into `parts` groups of nearly equal number, each padded to its own longest row only.

        A batch of fewer rows than `parts` comes back row by row.
        """
        cuts = [len(self.labels) * part // parts for part in range(parts + 1)]
        return [self._rows(slice(start, stop)) for start, stop in pairwise(cuts) if start < stop]

    def _rows(self, rows: slice) -> "LabelBatch":
        sentences, tokens = [], 0
        for ids, mask in self.sentences:
            lengths = mask[rows].sum(dim=1)
            columns = slice(int(lengths.max()))
            sentences.append((ids[rows, columns], mask[rows, columns]))
            tokens += int(lengths.sum())
        return LabelBatch(tuple(sentences), self.labels[rows], tokens)


def make_label_batch(examples: Sequence[EncodedExample]) -> LabelBatch:
    """Pad the sentences of each place to the longest of them, and add eos."""
    padded = tuple(pad(column) for column in zip(*(sentences for _, sentences in examples), strict=True))
    labels = torch.tensor([label for label, _ in examples])
    return LabelBatch(padded, labels, sum(int(mask.sum()) for _, mask in padded))


class LabelBatches:
    """Endless training batches of at most `tokens_per_step` tokens, eos counted, padding not.

    The order of an epoch is a pure function of (seed, epoch): the examples are shuffled, sorted by length and cut into
    batches, and the batches are shuffled. Nothing is dropped: an example above the budget is a batch of its own.

    Raises:
        ConfigError: `tokens_per_step` is out of range.
        DataError: there is no example.
    """

    def __init__(self, examples: Examples, tokens_per_step: int, seed: int) -> None:
        if tokens_per_step < 1:
            raise ConfigError(f"`tokens_per_step` must be at least 1, but got {tokens_per_step}")
        if not len(examples):
            raise DataError("there is no example to train on")
        self._examples = examples
        self._tokens = (examples.lengths + 1).sum(axis=1)
        self._tokens_per_step = tokens_per_step
        self._seed = seed

    def from_position(self, position: Position = START) -> Iterator[tuple[Position, LabelBatch]]:
        """Yield batches from a place on, for ever, each with the position after it (what a checkpoint stores).

        Raises:
            DataError: there is no such place; data or settings are not those of the position.
        """
        epoch, index = position.epoch, position.index
        check_place(f"pool {position.pool} of epoch {epoch}", position.pool, 1, "pools")
        while True:
            batches = self._epoch(epoch)
            check_place(f"batch {index} of epoch {epoch}", index, len(batches), "batches")
            for number in range(index, len(batches)):
                last = number + 1 == len(batches)
                after = Position(epoch + 1) if last else Position(epoch, index=number + 1)
                yield after, make_label_batch(self._examples.take(batches[number]))
            epoch, index = epoch + 1, 0

    def _epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        """Return the examples of each batch of an epoch."""
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(self._seed, spawn_key=(epoch,))))
        order = generator.permutation(len(self._examples))
        lengths = self._examples.lengths[order]
        longest, first = lengths.max(axis=1), lengths[:, 0]
        # Pairs of one greater length are walked from a long first sentence to a short one, those of the next length
        # back: beside one another, they differ little in both lengths.
        by_length = order[np.lexsort((np.where(longest % 2, first, -first), longest))]
        batches = np.split(by_length, even_cuts(self._tokens[by_length], self._tokens_per_step))
        generator.shuffle(batches)
        return batches


def label_batches(examples: Examples, max_tokens: int) -> Iterator[LabelBatch]:
    """Yield all examples in their order, in batches of at most `max_tokens` places, padding counted, or of one row."""
    tokens = (examples.lengths + 1).tolist()
    start = 0
    while start < len(tokens):
        stop, widths = start + 1, tokens[start]
        while stop < len(tokens):
            wider = [max(pair) for pair in zip(widths, tokens[stop], strict=True)]
            if sum(wider) * (stop + 1 - start) > max_tokens:
                break
            stop, widths = stop + 1, wider
        yield make_label_batch(examples.take(range(start, stop)))
        start = stop

"""Windows of running text with hidden tokens, in an order that a resumed run can find again.

Each window stands between bos and eos, as a single sentence will when the model is used on one: the first place is
there for a vector of the whole, and neither is ever hidden. What is hidden is drawn afresh in each epoch (Liu et al.
2019, "RoBERTa", arXiv:1907.11692, section 4.1). Knows no file format and no model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from attento.data.batches import pad
from attento.data.masked.hiding import Hiding
from attento.data.stream.batching import (
    Cuts,
    Windows,
    evaluation_generators,
    tokens_of,
    window_generators,
    windows_in_order,
)
from attento.shapes import TokenIds, TokenMask
from attento.text.special import BOS_ID

ENDS = 2
"""Bos and eos, which stand around each window."""


@dataclass(frozen=True)
class MaskedBatch:
    """Windows of text in which some tokens are to be told.

    `ids` is what is read, `whole` what the text says; both begin with bos and end in eos. The mask is True on tokens,
    False on padding; `hidden` is True on tokens to tell, one at least in each row.
    """

    ids: TokenIds
    whole: TokenIds
    mask: TokenMask
    hidden: Bool[Tensor, "B L"]
    num_source_tokens: int
    num_target_tokens: int

    @property
    def num_rows(self) -> int:
        """Windows."""
        return len(self.ids)

    @property
    def num_places(self) -> int:
        """Places for tokens, padding included."""
        return self.ids.numel()

    def to(self, device: torch.device | str) -> "MaskedBatch":
        """Return the same batch on a device."""
        return replace(
            self,
            ids=self.ids.to(device),
            whole=self.whole.to(device),
            mask=self.mask.to(device),
            hidden=self.hidden.to(device),
        )

    def split(self, parts: int) -> list["MaskedBatch"]:
        """Cut the rows into `parts` groups of nearly equal number, each padded to its own longest row only.

        A batch of fewer rows than `parts` comes back row by row.
        """
        num_rows = len(self.ids)
        lengths, told = self.mask.sum(dim=1).tolist(), self.hidden.sum(dim=1).tolist()
        batches = []
        for start, stop in pairwise(num_rows * part // parts for part in range(parts + 1)):
            if start < stop:
                rows, columns = slice(start, stop), slice(max(lengths[start:stop]))
                batches.append(
                    MaskedBatch(
                        ids=self.ids[rows, columns],
                        whole=self.whole[rows, columns],
                        mask=self.mask[rows, columns],
                        hidden=self.hidden[rows, columns],
                        num_source_tokens=sum(lengths[rows]) - sum(told[rows]),
                        num_target_tokens=sum(told[rows]),
                    )
                )
        return batches


class MaskedWindows(Windows[MaskedBatch]):
    """Endless training batches of windows with hidden tokens, at most `tokens_per_step` tokens, bos and eos counted.

    What is hidden in a window is a pure function of (seed, epoch, window); the rest is as in `Windows`.
    """

    def __init__(self, ids: NDArray[np.int32], context: int, tokens_per_step: int, seed: int, hiding: Hiding) -> None:
        """Take a text and how to hide its tokens.

        Raises:
            ConfigError: `context` or `tokens_per_step` is out of range.
            DataError: the text has no token behind the first.
        """
        super().__init__(ids, context, tokens_per_step, seed, window_tokens=context + ENDS)
        self._hiding = hiding

    def _batch(self, epoch: int, numbers: NDArray[np.int64], cuts: Cuts) -> MaskedBatch:
        generators = window_generators(self._seed, epoch, numbers)
        return make_masked_batch(tokens_of(self._ids, cuts), self._hiding, generators)


def masked_evaluation_windows(
    ids: NDArray[np.int32], context: int, max_tokens: int, hiding: Hiding
) -> Iterator[MaskedBatch]:
    """Yield batches in the order of the text; what is hidden is always the same, whatever the size of a batch.

    A batch has at most `max_tokens` tokens, bos and eos counted, but one window at least.

    Raises:
        ConfigError: `context` is out of range.
        DataError: the text has no token behind the first.
    """
    starts, stops = windows_in_order(ids, context)
    rows = max(1, max_tokens // (context + ENDS))
    for first in range(0, len(starts), rows):
        chosen = slice(first, first + rows)
        tokens = tokens_of(ids, (starts[chosen], stops[chosen]))
        yield make_masked_batch(tokens, hiding, evaluation_generators(range(first, first + len(tokens))))


def make_masked_batch(
    windows: Sequence[NDArray[np.int32]], hiding: Hiding, generators: Sequence[np.random.Generator]
) -> MaskedBatch:
    """Hide tokens of each window by its own generator, put bos before and eos behind it, and pad."""
    bos = np.array([BOS_ID], dtype=np.int32)
    read, chosen = zip(*map(hiding.hide, windows, generators), strict=True)
    ids, mask = pad([np.concatenate((bos, each)) for each in read])
    whole, _ = pad([np.concatenate((bos, each)) for each in windows])
    hidden = torch.zeros_like(mask)
    for row, places in enumerate(chosen):
        hidden[row, 1 : 1 + len(places)] = torch.from_numpy(places)
    told = int(hidden.sum())
    return MaskedBatch(ids, whole, mask, hidden, int(mask.sum()) - told, told)

"""Batches that fill a token budget, in an order that a resumed run can find again.

Holds the `Batch` record, padding, the order of training batches and the grouping of sentences to translate. Knows no
file format and no model: pairs come from anything that is a `PairSource`.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from attento.errors import ConfigError, DataError
from attento.shapes import SourceIds, SourceMask, TargetIds
from attento.text.special import BOS_ID, EOS_ID, PAD_ID

Indices: TypeAlias = NDArray[np.int64]
Pair: TypeAlias = tuple[NDArray[np.int32], NDArray[np.int32]]

POOL_SIZE = 1_000_000
"""Pairs that are sorted by length together. Beside its pool, an epoch holds 16 bytes a pair: order and lengths."""


@runtime_checkable
class PairSource(Protocol):
    """What batching needs of a corpus of id pairs (pieces alone, no bos and no eos)."""

    def __len__(self) -> int:
        """Return the number of pairs."""
        ...

    def lengths(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the number of pieces of every source and of every target."""
        ...

    def corpus_ids(self) -> NDArray[np.int16]:
        """Return for every pair which corpus of the configuration it comes from."""
        ...

    def take(self, indices: Indices) -> list[Pair]:
        """Return some pairs, in the order asked for."""
        ...


@dataclass(frozen=True)
class Batch:
    """Padded sentence pairs, ready for teacher forcing.

    Sources end in eos, target inputs begin with bos, target outputs end in eos. Masks are True on tokens, False on
    padding. The token counts leave padding out and count eos once a sentence.
    """

    source: SourceIds
    source_mask: SourceMask
    target_input: TargetIds
    target_output: TargetIds
    target_mask: Bool[Tensor, "B T"]
    num_source_tokens: int
    num_target_tokens: int

    def to(self, device: torch.device | str) -> "Batch":
        """Return the same batch on a device."""
        return replace(
            self,
            source=self.source.to(device),
            source_mask=self.source_mask.to(device),
            target_input=self.target_input.to(device),
            target_output=self.target_output.to(device),
            target_mask=self.target_mask.to(device),
        )

    def split(self, parts: int) -> list["Batch"]:
        """Cut the rows into `parts` groups of nearly equal number, each padded to its own longest row only.

        A batch of fewer rows than `parts` comes back row by row.
        """
        num_rows = len(self.source)
        cuts = [num_rows * part // parts for part in range(parts + 1)]
        source_lengths = self.source_mask.sum(dim=1).tolist()
        target_lengths = self.target_mask.sum(dim=1).tolist()
        batches = []
        for start, stop in pairwise(cuts):
            if start == stop:
                continue
            rows = slice(start, stop)
            source_columns = slice(max(source_lengths[rows]))
            target_columns = slice(max(target_lengths[rows]))
            batches.append(
                Batch(
                    source=self.source[rows, source_columns],
                    source_mask=self.source_mask[rows, source_columns],
                    target_input=self.target_input[rows, target_columns],
                    target_output=self.target_output[rows, target_columns],
                    target_mask=self.target_mask[rows, target_columns],
                    num_source_tokens=sum(source_lengths[rows]),
                    num_target_tokens=sum(target_lengths[rows]),
                )
            )
        return batches


def make_batch(pairs: Sequence[Pair]) -> Batch:
    """Pad pairs of piece ids to the longest source and the longest target, and add bos and eos."""
    source, source_mask = _pad([source for source, _ in pairs])
    target_output, target_mask = _pad([target for _, target in pairs])
    # The input is the output moved one step later: eos leaves at the end, bos enters at the start.
    target_input = target_output.roll(1, dims=1).masked_fill(~target_mask, PAD_ID)
    target_input[:, 0] = BOS_ID
    return Batch(
        source=source,
        source_mask=source_mask,
        target_input=target_input,
        target_output=target_output,
        target_mask=target_mask,
        num_source_tokens=int(source_mask.sum()),
        num_target_tokens=int(target_mask.sum()),
    )


def _pad(rows: Sequence[NDArray[np.int32]]) -> tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]:
    lengths = np.array([len(row) for row in rows])
    columns = np.arange(lengths.max() + 1)
    ids = np.full((len(rows), len(columns)), PAD_ID, dtype=np.int64)
    ids[columns < lengths[:, None]] = np.concatenate(rows)
    ids[np.arange(len(rows)), lengths] = EOS_ID
    return torch.from_numpy(ids), torch.from_numpy(columns <= lengths[:, None])


@dataclass(frozen=True)
class Position:
    """A place in the endless row of batches: the batch number `index` of an epoch, both counted from 0."""

    epoch: int = 0
    index: int = 0


class TokenBatches:
    """Endless training batches of at most `tokens_per_step` source and target tokens, eos counted, padding not.

    The order of an epoch is a pure function of (seed, epoch): pairs are shuffled, dealt into equal pools of at most
    `pool_size`, sorted by length inside a pool, cut into batches, and the batches of a pool shuffled. Nothing is
    dropped: a pair above the budget is a batch of its own. A corpus of weight w is passed w times in an epoch; the
    fraction of w is a random subset, drawn afresh each epoch.

    Raises:
        ConfigError: `tokens_per_step` or a weight is out of range, or a corpus has no weight.
        DataError: no pair is left to train on.
    """

    def __init__(
        self,
        pairs: PairSource,
        tokens_per_step: int,
        seed: int,
        weights: Sequence[float] | None = None,
        *,
        pool_size: int = POOL_SIZE,
    ) -> None:
        if tokens_per_step < 1:
            raise ConfigError(f"`tokens_per_step` must be at least 1, but got {tokens_per_step}")
        self._pairs = pairs
        self._tokens_per_step = tokens_per_step
        self._seed = seed
        self._pool_size = pool_size
        self._source_lengths, self._target_lengths = pairs.lengths()
        corpus_ids = pairs.corpus_ids()
        num_corpora = int(corpus_ids.max(initial=-1)) + 1
        self._weights = [1.0] * num_corpora if weights is None else list(weights)
        wrong = [weight for weight in self._weights if not (math.isfinite(weight) and weight >= 0)]
        if wrong:
            raise ConfigError(f"`weight` of a corpus must be a number of 0 or more, but got {wrong[0]}")
        if len(self._weights) < num_corpora:
            raise ConfigError(f"every corpus needs a `weight`, but got {len(self._weights)} for {num_corpora} corpora")
        sizes = np.bincount(corpus_ids, minlength=len(self._weights))
        if not any(round(weight * size) for weight, size in zip(self._weights, sizes.tolist(), strict=True)):
            raise DataError("no sentence pair is left to train on; look into the corpora and their `weight`")

    def from_position(self, epoch: int = 0, index: int = 0) -> Iterator[tuple[Position, Batch]]:
        """Yield batches from a place on, for ever, each with the position after it (what a checkpoint stores).

        Raises:
            DataError: the epoch has fewer batches than `index`; data or settings are not those of the position.
        """
        while True:
            batches = -1
            for batches, (indices, is_last) in enumerate(self._epoch(epoch)):
                if batches >= index:
                    after = Position(epoch + 1, 0) if is_last else Position(epoch, batches + 1)
                    yield after, make_batch(self._pairs.take(indices))
            if index > batches + 1:
                raise DataError(
                    f"cannot go on from batch {index} of epoch {epoch}, which has {batches + 1} batches; "
                    "go on with the data, `tokens_per_step` and `seed` that the run was started with"
                )
            epoch, index = epoch + 1, 0

    def _epoch(self, epoch: int) -> Iterator[tuple[Indices, bool]]:
        """Yield the pairs of each batch of an epoch, and whether it is the last."""
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self._seed, epoch])))
        order = self._draw(generator)
        pools = np.array_split(order, -(-len(order) // self._pool_size))
        for pool_number, pool in enumerate(pools, start=1):
            batches = self._cut(pool)
            generator.shuffle(batches)
            for number, batch in enumerate(batches, start=1):
                yield batch, pool_number == len(pools) and number == len(batches)

    def _draw(self, generator: np.random.Generator) -> Indices:
        """Return the pairs of an epoch, shuffled, each as often as the weight of its corpus says."""
        corpus_ids = self._pairs.corpus_ids()
        drawn = []
        for corpus, weight in enumerate(self._weights):
            members = np.flatnonzero(corpus_ids == corpus)
            if len(members):
                passes, rest = divmod(round(weight * len(members)), len(members))
                drawn += [members] * passes + [generator.permutation(members)[:rest]]
        order = np.concatenate(drawn)
        generator.shuffle(order)
        return order

    def _cut(self, pool: Indices) -> list[Indices]:
        """Sort a pool by length and cut it into batches."""
        source = self._source_lengths[pool].astype(np.int64) + 1
        target = self._target_lengths[pool].astype(np.int64) + 1
        longer = np.maximum(source, target)
        # Pairs of one greater length are walked from long target to long source, those of the next length back: beside
        # one another, batches differ little in both lengths, which is what keeps padding low.
        slant = np.where(longer % 2, target - source, source - target)
        by_length = np.lexsort((slant, longer))
        ends = np.cumsum((source + target)[by_length]).tolist()
        fewest = len(_cuts(ends, self._tokens_per_step))
        # The least limit that needs no more batches: all come out alike, and none is a small remainder.
        limit = bisect_left(
            range(self._tokens_per_step),
            True,
            lo=min(ends[-1] // fewest, self._tokens_per_step),
            key=lambda limit: len(_cuts(ends, limit)) <= fewest,
        )
        return np.split(pool[by_length], _cuts(ends, limit)[:-1])


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

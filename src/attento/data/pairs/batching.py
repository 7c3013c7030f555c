"""Batches that fill a token budget, in an order that a resumed run can find again.

Holds the `Batch` record and the order of training batches. Knows no file format and no model: pairs come from anything
that is a `PairSource`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from attento.data.batches import START, Position, check_place, even_cuts, pad
from attento.errors import ConfigError, DataError
from attento.shapes import SourceIds, SourceMask, TargetIds
from attento.text.special import BOS_ID, PAD_ID

Indices: TypeAlias = NDArray[np.int64]
Pair: TypeAlias = tuple[NDArray[np.int32], NDArray[np.int32]]

BLOCK_PAIRS = 4096
"""Pairs that follow each other in the corpus and go into the same pool: only blocks are shuffled in a whole epoch."""

POOL_PAIRS = 1 << 20
"""Pairs that are sorted by length together. Beside one pool, an epoch holds 32 bytes a block."""


@runtime_checkable
class PairSource(Protocol):
    """What batching needs of a corpus of id pairs (pieces alone, no bos and no eos)."""

    def __len__(self) -> int:
        """Return the number of pairs."""
        ...

    def corpus_sizes(self) -> list[int]:
        """Return the number of pairs of each corpus of the configuration; they stand one behind the other."""
        ...

    def lengths(self, start: int, stop: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the number of pieces of the sources and of the targets of the pairs from `start` to `stop`."""
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

    @property
    def num_rows(self) -> int:
        """Sentence pairs."""
        return len(self.source)

    @property
    def num_places(self) -> int:
        """Places for tokens of either side, padding included."""
        return self.source.numel() + self.target_input.numel()

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
    source, source_mask = pad([source for source, _ in pairs])
    target_output, target_mask = pad([target for _, target in pairs])
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


@dataclass(frozen=True)
class _Blocks:
    """The blocks of an epoch in their order, and how the pairs drawn from them are dealt into pools."""

    starts: Indices
    stops: Indices
    drawn: Indices
    num_pools: int

    def of_pool(self, pool: int) -> Iterator[tuple[int, slice]]:
        """Yield each block that gives to a pool, and which of the pairs drawn from it it gives."""
        ends = np.cumsum(self.drawn)
        # As Python integers, whose products do not overflow.
        first, last = (int(ends[-1]) * number // self.num_pools for number in (pool, pool + 1))
        first_block, last_block = np.searchsorted(ends, (first, last - 1), side="right").tolist()
        for block in range(first_block, last_block + 1):
            before = int(ends[block] - self.drawn[block])
            yield block, slice(max(first - before, 0), last - before)


class TokenBatches:
    """Endless training batches of at most `tokens_per_step` source and target tokens, eos counted, padding not.

    The order of an epoch is a pure function of (seed, epoch): blocks of `BLOCK_PAIRS` pairs that follow each other are
    shuffled and dealt into equal pools of at most `pool_size` pairs; a pool is shuffled, sorted by length, cut into
    batches, and its batches are shuffled. Nothing is dropped: a pair above the budget is a batch of its own. A corpus
    of weight w is passed w times in an epoch; the fraction of w is a random subset, drawn afresh each epoch. Of a
    corpus, no more than the lengths of one pool are read ahead, so that neither start nor memory grow with it.

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
        pool_size: int = POOL_PAIRS,
    ) -> None:
        if tokens_per_step < 1:
            raise ConfigError(f"`tokens_per_step` must be at least 1, but got {tokens_per_step}")
        self._pairs = pairs
        self._tokens_per_step = tokens_per_step
        self._seed = seed
        self._pool_size = pool_size
        sizes = pairs.corpus_sizes()
        weights = [1.0] * len(sizes) if weights is None else weights
        wrong = [weight for weight in weights if not (math.isfinite(weight) and weight >= 0)]
        if wrong:
            raise ConfigError(f"`weight` of a corpus must be a number of 0 or more, but got {wrong[0]}")
        if len(weights) < len(sizes):
            raise ConfigError(f"every corpus needs a `weight`, but got {len(weights)} for {len(sizes)} corpora")
        # A corpus of which no pair is left may stand at the end, unseen among the pairs.
        self._corpora = [(size, round(weight * size)) for size, weight in zip(sizes, weights, strict=False)]
        if not any(drawn for _, drawn in self._corpora):
            raise DataError("no sentence pair is left to train on; look into the corpora and their `weight`")

    def from_position(self, position: Position = START) -> Iterator[tuple[Position, Batch]]:
        """Yield batches from a place on, for ever, each with the position after it (what a checkpoint stores).

        Raises:
            DataError: there is no such place; data or settings are not those of the position.
        """
        epoch, first_pool, index = position.epoch, position.pool, position.index
        while True:
            blocks = self._blocks(epoch)
            check_place(f"pool {first_pool} of epoch {epoch}", first_pool, blocks.num_pools, "pools")
            for pool in range(first_pool, blocks.num_pools):
                batches = self._pool(epoch, pool, blocks)
                check_place(f"batch {index} of pool {pool} of epoch {epoch}", index, len(batches), "batches")
                for number in range(index, len(batches)):
                    after = Position(epoch, pool, number + 1)
                    if number + 1 == len(batches):
                        after = Position(epoch, pool + 1) if pool + 1 < blocks.num_pools else Position(epoch + 1)
                    yield after, make_batch(self._pairs.take(batches[number]))
                index = 0
            epoch, first_pool = epoch + 1, 0

    def _generator(self, *place: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self._seed, spawn_key=place)))

    def _blocks(self, epoch: int) -> _Blocks:
        """Return the blocks of an epoch, shuffled, each as often as the weight of its corpus says."""
        generator = self._generator(epoch)
        rows: list[Indices] = []
        first = 0
        for size, drawn in self._corpora:
            edges = np.append(np.arange(0, size, BLOCK_PAIRS), size)
            starts, stops = first + edges[:-1], first + edges[1:]
            passes, rest = divmod(drawn, max(size, 1))
            rows += [np.stack((starts, stops, stops - starts), axis=1)] * passes
            if rest:
                # Systematic sampling: `rest` pairs in all, and every pair with the same probability.
                shares = (rest * edges + generator.integers(size)) // size
                rows.append(np.stack((starts, stops, np.diff(shares)), axis=1))
            first += size
        blocks = generator.permutation(np.concatenate(rows))
        num_pools = -(-sum(drawn for _, drawn in self._corpora) // self._pool_size)
        return _Blocks(blocks[:, 0], blocks[:, 1], blocks[:, 2], num_pools)

    def _pool(self, epoch: int, pool: int, blocks: _Blocks) -> list[Indices]:
        """Return the pairs of each batch of a pool."""
        members, sources, targets = [], [], []
        for block, given in blocks.of_pool(pool):
            start, stop = int(blocks.starts[block]), int(blocks.stops[block])
            source, target = self._pairs.lengths(start, stop)
            rows = np.arange(stop - start)
            if blocks.drawn[block] < len(rows):
                # A generator of its own: two pools that share the block must agree on what is drawn from it.
                rows = self._generator(epoch, 0, block).permutation(rows)[: blocks.drawn[block]]
            rows = rows[given]
            members.append(start + rows)
            sources.append(source[rows])
            targets.append(target[rows])
        generator = self._generator(epoch, pool)
        order = generator.permutation(sum(map(len, members)))
        tokens = [np.concatenate(each)[order] + 1 for each in (sources, targets)]
        batches = self._cut(np.concatenate(members)[order], *tokens)
        generator.shuffle(batches)
        return batches

    def _cut(self, pool: Indices, source: NDArray[np.int32], target: NDArray[np.int32]) -> list[Indices]:
        """Sort a pool by length in tokens and cut it into batches."""
        longer = np.maximum(source, target)
        # Pairs of one greater length are walked from long target to long source, those of the next length back: beside
        # one another, batches differ little in both lengths, which is what keeps padding low.
        slant = np.where(longer % 2, target - source, source - target)
        by_length = np.lexsort((slant, longer))
        return np.split(pool[by_length], even_cuts((source + target)[by_length], self._tokens_per_step))

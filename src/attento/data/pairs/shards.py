"""Pairs of id sequences in Arrow files: written in a stream, read through memory maps.

Arrow IPC files with the columns source and target (lists of int32, pieces alone) and corpus (int16). A reader keeps no
ids in memory; the system's page cache holds what is in use.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from attento.errors import DataError

Ids = NDArray[np.int32]

_SCHEMA = pa.schema([("source", pa.list_(pa.int32())), ("target", pa.list_(pa.int32())), ("corpus", pa.int16())])
_BATCH_PAIRS = 1 << 16
_BATCH_TOKENS = 1 << 24
_SHARD_PAIRS = 1 << 20


@dataclass(frozen=True)
class Ragged:
    """Sequences of ids one behind the other, and the length of each."""

    values: Ids
    lengths: Ids

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]]) -> "Ragged":
        """Pack sequences."""
        lengths = np.fromiter((len(each) for each in sequences), np.int32, len(sequences))
        values = np.fromiter(chain.from_iterable(sequences), np.int32, int(lengths.sum()))
        return cls(values, lengths)

    def keep(self, mask: NDArray[np.bool_]) -> "Ragged":
        """Return the sequences where the mask is True."""
        return Ragged(self.values[np.repeat(mask, self.lengths)], self.lengths[mask])

    def take(self, places: NDArray[np.int64]) -> "Ragged":
        """Return the sequences at these places, in this order."""
        lengths = self.lengths[places]
        starts = np.cumsum(self.lengths, dtype=np.int64) - self.lengths
        new_starts = np.cumsum(lengths, dtype=np.int64) - lengths
        shifts = np.repeat(starts[places] - new_starts, lengths)
        return Ragged(self.values[shifts + np.arange(len(shifts))], lengths)

    def regroup(self, counts: NDArray[np.int64]) -> "Ragged":
        """Return each group of so many sequences that follow each other as one sequence."""
        ends = np.cumsum(self.lengths, dtype=np.int64)
        edges = np.append(0, ends)[np.append(0, np.cumsum(counts))]
        return Ragged(self.values, np.diff(edges).astype(np.int32))

    def __len__(self) -> int:
        return len(self.lengths)


def concatenate(parts: Sequence[Ragged]) -> Ragged:
    """Return the sequences of all parts one behind the other."""
    return Ragged(np.concatenate([p.values for p in parts]), np.concatenate([p.lengths for p in parts]))


def _column(ragged: Ragged) -> Any:
    offsets = np.zeros(len(ragged) + 1, np.int32)
    np.cumsum(ragged.lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(ragged.values))


def shard_paths(folder: Path, name: str, count: int) -> list[Path]:
    """Return the files of a set in their order."""
    return [folder / f"{name}-{number:05d}.arrow" for number in range(count)]


@dataclass
class ShardWriter:
    """Writes pairs to `NAME-00000.arrow` and on; what is written depends on the pairs alone, not on how they come."""

    folder: Path
    name: str
    shard_pairs: int = _SHARD_PAIRS
    batch_pairs: int = _BATCH_PAIRS
    count: int = 0
    tokens: tuple[int, int] = (0, 0)
    longest: tuple[int, int] = (0, 0)
    shards: int = 0
    _pending: list[tuple[Ragged, Ragged, int]] = field(default_factory=list)
    _pending_pairs: int = 0
    _pending_tokens: int = 0
    _in_shard: int = 0
    _corpus: int = 0
    _file: Any = None

    def append(self, source: Ragged, target: Ragged, corpus: int) -> None:
        """Add pairs of one corpus: of the same as before, or of a later one."""
        assert corpus >= self._corpus  # readers find where a corpus ends by halving
        self._corpus = corpus
        done = 0
        while done < len(source):
            room = min(self.batch_pairs - self._pending_pairs, len(source) - done)
            self._add(_slice(source, done, done + room), _slice(target, done, done + room), corpus)
            done += room
            if self._pending_pairs == self.batch_pairs or self._pending_tokens >= _BATCH_TOKENS:
                self._flush()

    def close(self) -> None:
        """Write what is left and end the last file; a writer that was given nothing leaves one file without pairs."""
        if self._pending or not self.shards:
            self._flush()
        self._end_shard()

    def abandon(self) -> None:
        """Let go of the open file, whatever became of it."""
        self._end_shard()

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def _add(self, source: Ragged, target: Ragged, corpus: int) -> None:
        self._pending.append((source, target, corpus))
        self._pending_pairs += len(source)
        self._pending_tokens += len(source.values) + len(target.values)
        self.count += len(source)
        longest_source, longest_target = self.longest
        self.longest = (
            int(source.lengths.max(initial=longest_source)),
            int(target.lengths.max(initial=longest_target)),
        )
        self.tokens = (self.tokens[0] + len(source.values), self.tokens[1] + len(target.values))

    def _flush(self) -> None:
        if self._file is None or self._in_shard >= self.shard_pairs:
            self._end_shard()
            self.shards += 1
            path = shard_paths(self.folder, self.name, self.shards)[-1]
            self._file = pa.ipc.new_file(str(path), _SCHEMA)
            self._in_shard = 0
        if not self._pending:
            return
        sources, targets, corpora = zip(*self._pending, strict=True)
        corpus = np.repeat(np.asarray(corpora, np.int16), [len(each) for each in sources])
        columns = [_column(concatenate(sources)), _column(concatenate(targets)), pa.array(corpus)]
        self._file.write_batch(pa.record_batch(columns, schema=_SCHEMA))
        self._in_shard += self._pending_pairs
        self._pending, self._pending_pairs, self._pending_tokens = [], 0, 0

    def _end_shard(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()


def _slice(ragged: Ragged, start: int, stop: int) -> Ragged:
    first = int(ragged.lengths[:start].sum())
    last = first + int(ragged.lengths[start:stop].sum())
    return Ragged(ragged.values[first:last], ragged.lengths[start:stop])


class ParallelShards:
    """Pairs of id sequences by number, over the memory-mapped files of one set."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Open the files of a set, in this order.

        Raises:
            DataError: a file is missing, damaged, or not one of ours.
        """
        self._paths = tuple(paths)
        batches = [batch for path in paths for batch in _record_batches(path)]
        self._sources = [_views(batch.column("source")) for batch in batches]
        self._targets = [_views(batch.column("target")) for batch in batches]
        self._corpora = [batch.column("corpus").to_numpy() for batch in batches]
        self._ends = np.cumsum([batch.num_rows for batch in batches], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def corpus_sizes(self) -> list[int]:
        """Return how many pairs come from each corpus of `DataConfig.train`, up to the last that gave any."""
        last = self._corpus_of(len(self) - 1) if len(self) else -1
        # The corpora stand one behind the other: a few looks find where each ends.
        ends = [bisect_right(range(len(self)), corpus, key=self._corpus_of) for corpus in range(last + 1)]
        return [end - start for start, end in pairwise([0, *ends])]

    def lengths(self, start: int = 0, stop: int | None = None) -> tuple[Ids, Ids]:
        """Return the numbers of pieces of the sources and of the targets of a range of pairs, of all by default."""
        stop = len(self) if stop is None else stop
        sources, targets = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
        first, last = np.searchsorted(self._ends, (start, stop - 1), side="right").tolist()
        for batch in range(first, min(last + 1, len(self._ends))):
            before = self._begin(batch)
            rows = slice(max(start - before, 0), stop - before + 1)
            sources.append(np.diff(self._sources[batch][0][rows]))
            targets.append(np.diff(self._targets[batch][0][rows]))
        return np.concatenate(sources), np.concatenate(targets)

    def take(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> list[tuple[Ids, Ids]]:
        """Return the pairs of these numbers, as views that must not be written to.

        Raises:
            IndexError: a number is negative or not below the number of pairs.
        """
        wanted = np.asarray(indices, np.int64)
        if len(wanted) and (int(wanted.min()) < 0 or int(wanted.max()) >= len(self)):
            raise IndexError(f"pair numbers go from 0 to {len(self) - 1}")
        batches = np.searchsorted(self._ends, wanted, side="right")
        taken = []
        for batch, index in zip(batches.tolist(), wanted.tolist(), strict=True):
            row = index - self._begin(batch)
            taken.append((_row(self._sources[batch], row), _row(self._targets[batch], row)))
        return taken

    def _begin(self, batch: int) -> int:
        return int(self._ends[batch - 1]) if batch else 0

    def _corpus_of(self, index: int) -> int:
        batch = int(np.searchsorted(self._ends, index, side="right"))
        return int(self._corpora[batch][index - self._begin(batch)])

    def __reduce__(self) -> tuple[type["ParallelShards"], tuple[tuple[Path, ...]]]:
        return ParallelShards, (self._paths,)


_Views = tuple[Ids, Ids]


def _views(column: Any) -> _Views:
    return column.offsets.to_numpy(), column.values.to_numpy()


def _row(views: _Views, row: int) -> Ids:
    offsets, values = views
    return values[offsets[row] : offsets[row + 1]]


def _record_batches(path: Path) -> list[Any]:
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        if reader.schema != _SCHEMA:
            raise DataError(f"{path}: is not a shard of training pairs; prepare the data again")
        return [reader.get_batch(i) for i in range(reader.num_record_batches)]
    except (OSError, pa.ArrowInvalid) as problem:
        raise DataError(f"{path}: the shard cannot be read ({problem}); prepare the data again") from problem

"""Judging and tokenizing chunks of pairs, in this process or in several, with the order kept.

What comes out of a chunk depends on the chunk alone, so that the number of processes changes nothing but the time.
"""

import multiprocessing
import signal
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attento.data.pairs.cleaning import Cleaner, Rule, pair_digest, sentence_digest
from attento.data.pairs.corpora import Chunk
from attento.data.pairs.shards import Ragged
from attento.data.pairs.words import PlainTokenizer, WordTokenizer
from attento.errors import DataError
from attento.text.learning import SubwordModel
from attento.text.tokenizer import TokenizerPair


@dataclass(frozen=True)
class EncodedChunk:
    """What became of a chunk: a rule for every pair, ids and digests of those that are kept."""

    rules: NDArray[np.uint8]
    source: Ragged
    target: Ragged
    pair_digests: NDArray[np.uint64]
    source_digests: NDArray[np.uint64]


class Encoder:
    """Judges and tokenizes the pairs of a chunk."""

    def __init__(self, tokenizers: TokenizerPair, cleaner: Cleaner, model: SubwordModel) -> None:
        self._cleaner = cleaner
        kind: type[WordTokenizer | PlainTokenizer] = WordTokenizer if model == "bpe" else PlainTokenizer
        self._source = kind(tokenizers.source)
        self._target = self._source if tokenizers.joint else kind(tokenizers.target)

    def __call__(self, chunk: Chunk) -> EncodedChunk:
        """Return what became of the chunk; duplicates are not looked for, for they may be in another one."""
        sources, targets = strip(chunk.sources), strip(chunk.targets)
        rules = self._cleaner.judge_texts(sources, targets)
        places = np.flatnonzero(rules == Rule.KEPT)
        source = self._source.encode_batch([sources[place] for place in places.tolist()])
        target = self._target.encode_batch([targets[place] for place in places.tolist()])
        rules[places] = self._cleaner.judge_lengths(source.lengths, target.lengths)
        kept = rules[places] == Rule.KEPT
        pairs = [(sources[place], targets[place]) for place in places[kept].tolist()]
        return EncodedChunk(
            rules,
            source.keep(kept),
            target.keep(kept),
            np.fromiter(map(pair_digest, pairs), np.uint64, len(pairs)),
            np.fromiter((sentence_digest(pair[0]) for pair in pairs), np.uint64, len(pairs)),
        )


def strip(texts: Sequence[str]) -> list[str]:
    """Return texts without the white space around them, which counts neither in cleaning nor in tokenizing."""
    return [text.strip() for text in texts]


def encode_chunks(
    chunks: Iterable[Chunk], encoder: Encoder, workers: int
) -> Generator[tuple[Chunk, EncodedChunk], None, None]:
    """Yield each chunk with what became of it, in order; with several workers, a few chunks are under way at once.

    Raises:
        DataError: a worker process was ended from outside.
    """
    if workers == 1:
        for chunk in chunks:
            yield chunk, encoder(chunk)
        return
    executor = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(encoder,)
    )
    try:
        yield from _in_order(executor, chunks, window=2 * workers)
    except BrokenProcessPool as problem:
        raise DataError(
            "a worker process ended before its time, most often for want of memory; try again with fewer workers"
        ) from problem
    finally:
        executor.shutdown(cancel_futures=True)


def _in_order(
    executor: ProcessPoolExecutor, chunks: Iterable[Chunk], window: int
) -> Iterator[tuple[Chunk, EncodedChunk]]:
    # A bounded queue: an executor's own `map` would read the whole corpus ahead into memory.
    under_way: deque[tuple[Chunk, Future[EncodedChunk]]] = deque()
    for chunk in chunks:
        with _without_interrupts():  # any task may start a worker, as long as not all are there
            future = executor.submit(_work, chunk)
        under_way.append((chunk, future))
        if len(under_way) >= window:
            first, future = under_way.popleft()
            yield first, future.result()
    while under_way:
        first, future = under_way.popleft()
        yield first, future.result()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Keep Ctrl-C waiting, for good in processes started meanwhile: it reaches them all, and the parent answers it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_encoder: Encoder | None = None


def _start_worker(encoder: Encoder) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    global _encoder
    _encoder = encoder


def _work(chunk: Chunk) -> EncodedChunk:
    assert _encoder is not None
    return _encoder(chunk)

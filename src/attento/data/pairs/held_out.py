"""Validation and test text, and how much of it turns up in the training text."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attento.data.pairs.cleaning import is_member, sentence_digest
from attento.data.pairs.config import DataConfig
from attento.data.pairs.corpora import Chunk, Languages, Pair, read_pairs
from attento.data.pairs.report import Overlap, example

_EXAMPLES = 3


class HeldOut:
    """Looks for held-out source sentences among training sources; white space and case do not count."""

    def __init__(self, config: DataConfig, data_root: Path) -> None:
        """Read the held-out text.

        Raises:
            DataError: a file cannot be read as it stands.
        """
        languages = Languages(config.source_language, config.target_language)
        self.validation: list[Pair] = list(read_pairs(config.validation, languages, data_root))
        self.overlaps: list[Overlap] = []
        self._names = [corpus.name for corpus in config.train]
        self._digests: list[NDArray[np.uint64]] = []
        self._found: list[NDArray[np.bool_]] = []
        self._add("validation", self.validation)
        if config.test is not None:
            self._add("test", list(read_pairs(config.test, languages, data_root)))

    def look(self, chunk: Chunk, places: NDArray[np.integer[Any]], digests: NDArray[np.uint64]) -> None:
        """Look at the pairs of a chunk at these places, whose sources have these digests."""
        for overlap, held, found in zip(self.overlaps, self._digests, self._found, strict=True):
            hits = np.flatnonzero(is_member(digests, held))
            if not len(hits):
                continue
            found |= is_member(held, np.sort(digests[hits]))
            overlap.found = int(found.sum())
            overlap.training_pairs += len(hits)
            for place in places[hits][: _EXAMPLES - len(overlap.examples)].tolist():
                where = f"{self._names[chunk.corpus]}:{chunk.first_line + place}"
                overlap.examples.append(example(where, chunk.pairs[place]))

    def _add(self, name: str, pairs: list[Pair]) -> None:
        digests = np.sort(np.asarray([sentence_digest(s) for s, _ in pairs if s.strip()], np.uint64))
        self.overlaps.append(Overlap(name, len(digests)))
        self._digests.append(digests)
        self._found.append(np.zeros(len(digests), np.bool_))

"""Which piece of one language stands for which of another: IBM model 1 (Brown et al. 1993, section 4.1), in numpy.

Every target piece is made by one source piece of its sentence or by none, each as probably as the others, whatever the
order. Knows no text and no file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Pair = tuple[Sequence[int], Sequence[int]]

NOTHING = -1
"""The source of a target piece that no source piece makes: e_0 of the paper."""


@dataclass(frozen=True)
class Dictionary:
    """t(target | source) of all pieces that ever stand in one pair of sentences; that of others is 0.

    Entries are ordered by source, and those of a source by target.
    """

    source: Ids  # (E,)
    target: Ids  # (E,)
    probability: NDArray[np.float64]  # (E,)

    def candidates(self, count: int) -> dict[int, Ids]:
        """Return for every source piece its most probable target pieces, of equals the lowest ids."""
        order = np.lexsort((self.target, -self.probability, self.source))
        sources, first = np.unique(self.source[order], return_index=True)
        ends = [*first[1:], len(order)]
        return {
            int(source): self.target[order[start : min(end, start + count)]]
            for source, start, end in zip(sources, first, ends, strict=True)
        }


def estimate(pairs: Sequence[Pair], iterations: int) -> Dictionary:
    """Estimate t(target | source) by expectation maximization, from a uniform one.

    The expected count of an entry is a sum over single places, since a pair's alignments are independent of each other.

    Args:
        pairs: ids of source and target.
        iterations: how often counts are taken and normalized.
    """
    source, target, place = _cells(pairs)
    width = int(target.max()) + 1
    entries, entry = np.unique((source + 1) * width + target, return_inverse=True)
    entry_source = entries // width
    probability = np.ones(len(entries))
    for _ in range(iterations):
        weight = probability[entry]
        weight /= np.bincount(place, weights=weight)[place]
        counts = np.bincount(entry, weights=weight)
        probability = counts / np.bincount(entry_source, weights=counts)[entry_source]
    return Dictionary(entry_source - 1, entries % width, probability)


def _cells(pairs: Sequence[Pair]) -> tuple[Ids, Ids, Ids]:
    """Return every target place beside each source piece of its pair, or nothing: source, target, number of place."""
    sources, targets, widths = [], [], []
    for source, target in pairs:
        possible = [NOTHING, *source]
        sources.append(np.tile(possible, len(target)))
        targets.append(np.repeat(target, len(possible)))
        widths += [len(possible)] * len(target)
    return np.concatenate(sources), np.concatenate(targets), np.repeat(np.arange(len(widths)), widths)

"""Counting and smoothing n-grams: interpolated modified Kneser-Ney (Chen & Goodman 1999).

"An empirical study of smoothing techniques for language modeling", Computer Speech and Language 13, section 3. A word
here is a token of any kind. Counts in int64 and probabilities in float64; knows no torch.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BOS_ID = 2
"""The token that begins a text (as everywhere in the house): only read, never predicted."""

FALL_BACK = (0.5, 1.0, 1.5)
"""The discounts of an order too poor to estimate its own: what Y = 1/2 and evenly falling counts would roughly give."""


@dataclass(frozen=True)
class NGrams:
    """All different n-grams of one length in sorted order; an n-gram's place in these arrays is its number.

    Of single words all of the vocabulary stand here, so that a word's number is its id.
    """

    keys: NDArray[np.int64]
    """c * V + w for an n-gram that goes on from context c, an (n-1)-gram by its number, with the word w."""
    counts: NDArray[np.int64]
    """How often it was seen; in the shorter orders, after how many different words, save where it begins a text."""


@dataclass(frozen=True)
class Smoothed:
    """One order of p(w|c) = u(w|c) + weight(c) * p(w|c'), where c' is the context c without its first word."""

    keys: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    """u: the discounted count over the count of the context, for each n-gram."""
    weights: NDArray[np.float64]
    """The mass that the discounts left over, for each context; 1 where nothing was seen after it."""


def count(ids: NDArray[np.integer], order: int, vocab_size: int) -> list[NGrams]:
    """Count the n-grams of 1 to `order` words of a text, or of several one after the other, each begun by bos.

    The longest have their plain counts, the shorter ones their continuation counts (Kneser & Ney
    1995): the number of different words before them. Nothing stands before bos: what begins with it keeps its plain
    count. No n-gram reaches over the beginning of a text. Takes about 90 bytes of memory a token.

    Raises:
        ValueError: the text does not begin with bos, holds ids outside the vocabulary, or is too long for the keys.
    """
    words = np.asarray(ids, dtype=np.int64)
    _check(words, vocab_size)
    unigrams = np.bincount(words, minlength=vocab_size)
    tables = [NGrams(np.arange(vocab_size), unigrams)]
    begins_text = np.arange(vocab_size) == BOS_ID
    # At each place of the text: the number of the n-gram that begins there. `places`: where there is a whole one.
    numbers, places = words, np.arange(len(words))
    for length in range(2, order + 1):
        places = places[: np.searchsorted(places, len(words) - length + 1)]
        places = places[words[places + length - 1] != BOS_ID]
        keys, first, inverse, counts = np.unique(
            numbers[places] * vocab_size + words[places + length - 1],
            return_index=True, return_inverse=True, return_counts=True,
        )  # fmt: skip
        without_first_word = numbers[places[first] + 1]
        continuations = np.bincount(without_first_word, minlength=len(begins_text))
        shorter = tables[-1]
        tables[-1] = NGrams(shorter.keys, np.where(begins_text, shorter.counts, continuations))
        tables.append(NGrams(keys, counts))
        begins_text = words[places[first]] == BOS_ID
        numbers = np.full(len(words), -1)
        numbers[places] = inverse
    tables[0].counts[BOS_ID] = 0
    return tables


def discounts(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Estimate what to take from a count of 0, 1, 2, and 3 or more, from the counts of counts (section 3, eq. 17).

    With n_r n-grams of count r and Y = n_1 / (n_1 + 2 n_2): D_r = r - (r + 1) Y n_{r+1} / n_r. Where the text is so
    small or so even that n_1, n_2 or n_3 is 0, or a discount does not come out within (0, r], all three fall back to
    `FALL_BACK`: a discount of 0 could leave nothing to what was never seen.
    """
    n = np.bincount(np.minimum(counts, 5), minlength=6).astype(np.float64)
    if not n[1:4].all():
        return np.array([0.0, *FALL_BACK])
    y = n[1] / (n[1] + 2 * n[2])
    r = np.arange(1, 4)
    estimated = r - (r + 1) * y * n[2:5] / n[1:4]
    if not np.all((estimated > 0) & (estimated <= r)):
        return np.array([0.0, *FALL_BACK])
    return np.concatenate(([0.0], estimated))


def smooth(table: NGrams, contexts: int, vocab_size: int) -> Smoothed:
    """Discount the counts of one order; what they lose in a context goes to the shorter order (section 3).

    Args:
        table: the n-grams.
        contexts: how many (n-1)-grams there are.
        vocab_size: V.
    """
    taken = discounts(table.counts)[np.minimum(table.counts, 3)]
    context = table.keys // vocab_size
    total = np.bincount(context, table.counts, minlength=contexts)
    left_over = np.bincount(context, taken, minlength=contexts)
    seen = total > 0
    weights = np.where(seen, left_over / np.where(seen, total, 1), 1.0)
    return Smoothed(table.keys, (table.counts - taken) / np.where(seen, total, 1)[context], weights)


def kneser_ney(ids: NDArray[np.integer], order: int, vocab_size: int) -> tuple[NDArray[np.float64], list[Smoothed]]:
    """Count and smooth; return p(w) for every word, and the orders from 2 on.

    Single words are interpolated with the uniform distribution, so that none has probability 0.

    Raises:
        ValueError: as `count`.
    """
    tables = count(ids, order, vocab_size)
    sizes = [1, *(len(table.keys) for table in tables)]
    unigrams, *longer = (smooth(table, size, vocab_size) for table, size in zip(tables, sizes, strict=False))
    return unigrams.probabilities + unigrams.weights / vocab_size, longer


def _check(words: NDArray[np.int64], vocab_size: int) -> None:
    if not len(words) or words[0] != BOS_ID:
        raise ValueError(f"a text whose n-grams are counted must begin with the id of bos, {BOS_ID}")
    if words.min() < 0 or words.max() >= vocab_size:
        raise ValueError(
            f"the text holds ids from {words.min()} to {words.max()}, but the vocabulary has {vocab_size} tokens"
        )
    if (len(words) + 1) * vocab_size > np.iinfo(np.int64).max:
        raise ValueError(f"a text of {len(words)} tokens is too long for n-grams over {vocab_size} tokens")

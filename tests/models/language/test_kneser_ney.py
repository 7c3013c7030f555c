"""What is counted, and what is taken from the counts."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from attento.models.language import kneser_ney as module
from attento.models.language.kneser_ney import FALL_BACK, count, discounts, kneser_ney, smooth
from attento.text.special import BOS_ID

V = 17


def draw_texts(texts: int = 31, longest: int = 23) -> NDArray[np.int64]:
    """Draw texts of few frequent and many rare words, each begun by bos; some hold nothing else."""
    lengths = np.random.randint(longest, size=texts)
    return np.concatenate([[BOS_ID, *(3 + np.random.geometric(0.3, length)).clip(max=V - 1)] for length in lengths])


def by_dictionaries(ids: NDArray[np.int64], order: int) -> list[Counter[tuple[int, ...]]]:
    """Count plainly, text by text; then count the different words before each n-gram that is not the longest."""
    texts: list[list[int]] = []
    for word in ids.tolist():
        if word == BOS_ID:
            texts.append([])
        texts[-1].append(word)
    plain = [
        Counter(tuple(text[i : i + n]) for text in texts for i in range(len(text) - n + 1)) for n in range(1, order + 1)
    ]
    counts = plain[-1:]
    for shorter, longer in zip(plain[-2::-1], plain[:0:-1], strict=True):
        before = Counter(ngram[1:] for ngram in longer)
        counts.insert(0, Counter({g: plainly if g[0] == BOS_ID else before[g] for g, plainly in shorter.items()}))
    del counts[0][(BOS_ID,)]
    return counts


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", [np.int64, np.uint16])
def test_counts_are_those_of_dictionaries(order: int, kind: type[np.integer]) -> None:
    ids = draw_texts()
    tables = count(ids.astype(kind), order, V)
    ngrams = [(word,) for word in range(V)]
    for n, (table, expected) in enumerate(zip(tables, by_dictionaries(ids, order), strict=True), start=1):
        assert np.all(np.diff(table.keys) > 0)
        if n > 1:
            ngrams = [(*ngrams[key // V], key % V) for key in table.keys.tolist()]
        seen = {ngram: times for ngram, times in zip(ngrams, table.counts.tolist(), strict=True) if times}
        assert seen == {ngram: times for ngram, times in expected.items() if times}


def test_the_text_is_left_as_it_is() -> None:
    ids = draw_texts()
    before = ids.copy()
    kneser_ney(ids, 3, V)
    assert np.array_equal(ids, before)


def test_discounts_are_the_formula() -> None:
    # n_1 to n_4 = 50, 20, 9, 4; what is seen more often, and not at all, plays no part.
    counts = np.repeat([1, 2, 3, 4, 5, 70, 0], [50, 20, 9, 4, 11, 3, 7])
    y = Fraction(50, 50 + 2 * 20)
    expected = [0, 1 - 2 * y * Fraction(20, 50), 2 - 3 * y * Fraction(9, 20), 3 - 4 * y * Fraction(4, 9)]
    np.testing.assert_allclose(discounts(counts), [float(each) for each in expected], rtol=1e-14)


@pytest.mark.parametrize(
    "counts_of_counts",
    [(0, 20, 9, 4), (50, 0, 9, 4), (50, 20, 0, 4), (0, 0, 0, 0), (50, 20, 40, 4), (5, 5, 5, 40), (3, 3, 6, 1)],
    ids=["no n_1", "no n_2", "no n_3", "none", "D_2 = -1.33", "D_3 = -7.67", "D_2 = 0"],
)
def test_poor_counts_of_counts_fall_back(counts_of_counts: tuple[int, ...]) -> None:
    assert discounts(np.repeat([1, 2, 3, 4], counts_of_counts)).tolist() == [0.0, *FALL_BACK]


def test_smoothing_moves_the_discounts_into_the_weights() -> None:
    # In one text, after bos: three words. No order is rich enough to estimate its discounts.
    _, bigrams = count(np.array([BOS_ID, 4, 5, 4, 5, 4, 4, 6]), 2, V)
    smoothed = smooth(bigrams, V, V)
    assert {(key // V, key % V): p for key, p in zip(smoothed.keys.tolist(), smoothed.probabilities, strict=True)} == {
        (BOS_ID, 4): 0.5, (4, 4): 0.5 / 4, (4, 5): 1 / 4, (4, 6): 0.5 / 4, (5, 4): 1 / 2,
    }  # fmt: skip
    weights = np.ones(V)
    weights[[BOS_ID, 4, 5]] = 0.5, 2 / 4, 1 / 2
    assert smoothed.weights.tolist() == weights.tolist()


def test_bos_is_read_but_never_predicted_more_than_an_unseen_word() -> None:
    unigrams, _ = kneser_ney(draw_texts(), 2, V)
    assert unigrams[BOS_ID] == unigrams[0] == unigrams.min() > 0
    np.testing.assert_allclose(unigrams.sum(), 1, rtol=1e-14)


def test_the_beginning_is_the_bos_of_the_vocabulary() -> None:
    assert module.BOS_ID == BOS_ID


@pytest.mark.parametrize(
    "ids, vocab_size, message",
    [
        ([], V, "must begin with the id of bos, 2"),
        ([4, BOS_ID, 5], V, "must begin with the id of bos, 2"),
        ([BOS_ID, 4, V], V, "ids from 2 to 17, but the vocabulary has 17 tokens"),
        ([BOS_ID, -1, 5], V, "ids from -1 to 5, but"),
        ([BOS_ID, 4], 2**62, "a text of 2 tokens is too long"),
    ],
)
def test_what_cannot_be_counted_is_refused(ids: list[int], vocab_size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        count(np.array(ids, dtype=np.int64), 3, vocab_size)

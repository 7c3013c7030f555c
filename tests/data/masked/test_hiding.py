"""Which tokens are hidden and how, against the shares that the paper names."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from attento.data.masked.hiding import Hiding

VOCAB_SIZE, MASK = 53, 17
DRAWS = 700


def text(tokens: int) -> np.ndarray:
    """Pieces that are neither special nor the mask."""
    ids = np.random.default_rng(3).integers(4, VOCAB_SIZE - 1, tokens)
    return (ids + (ids >= MASK)).astype(np.int32)


@given(st.integers(1, 97), st.floats(0.01, 0.99), st.integers(0, 2**31))
def test_as_many_as_asked_for_are_hidden_and_all_others_stay(tokens: int, share: float, seed: int) -> None:
    whole = text(tokens)
    kept = whole.copy()
    read, hidden = Hiding(share, MASK, VOCAB_SIZE).hide(whole, np.random.default_rng(seed))
    assert np.array_equal(whole, kept)
    assert read.dtype == np.int32
    assert hidden.sum() == max(1, round(tokens * share))
    assert np.array_equal(read[~hidden], whole[~hidden])
    assert read[hidden].min() >= 4
    assert read[hidden].max() < VOCAB_SIZE


def within(count: int, draws: int, share: float) -> bool:
    """Whether a count lies within five standard deviations of a binomial's mean."""
    return abs(count - draws * share) < 5 * (draws * share * (1 - share)) ** 0.5


def test_of_the_hidden_80_in_100_are_masked_10_replaced_10_kept() -> None:
    whole, hiding, generator = text(41), Hiding(0.15, MASK, VOCAB_SIZE), np.random.default_rng(29)
    masked = changed = total = 0
    places, drawn = np.zeros(41, dtype=int), np.zeros(VOCAB_SIZE, dtype=int)
    for _ in range(DRAWS):
        read, hidden = hiding.hide(whole, generator)
        places += hidden
        total += int(hidden.sum())
        masked += int((read[hidden] == MASK).sum())
        other = hidden & (read != MASK) & (read != whole)
        changed += int(other.sum())
        drawn[read[other]] += 1
    assert total == DRAWS * 6
    assert within(masked, total, 0.8)
    # A random token is now and then the one that stood there.
    assert within(changed, total, 0.1 * (1 - 1 / (VOCAB_SIZE - 5)))
    assert all(within(int(count), DRAWS, 6 / 41) for count in places)
    # Any piece but the four specials and the mask, its neighbours and the last one too.
    assert not drawn[[0, 1, 2, 3, MASK]].any()
    ordinary = np.delete(drawn, [0, 1, 2, 3, MASK])
    assert all(within(int(count), changed, 1 / (VOCAB_SIZE - 5)) for count in ordinary)
    assert (ordinary > 0).all()

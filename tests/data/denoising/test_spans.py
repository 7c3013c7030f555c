"""Span corruption against its own undoing, and against all ways that there are to cut."""

from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attento.data.denoising.spans import Noise, corrupt

SENTINELS = range(1000, 1500)


def text(tokens: int) -> np.ndarray:
    """Ids that are all different, so that a token tells its place."""
    return np.arange(4, 4 + tokens, dtype=np.int32)


def spans_of(target: np.ndarray) -> list[list[int]]:
    """What stands behind each sentinel, the sentinels looked at."""
    ids = target.tolist()
    places = [place for place, each in enumerate(ids) if each in SENTINELS]
    assert [ids[place] for place in places] == list(SENTINELS[: len(places)])
    assert places[0] == 0
    assert places[-1] == len(ids) - 1
    return [ids[start + 1 : stop] for start, stop in pairwise(places)]


@given(st.integers(1, 97), st.floats(0.01, 0.99), st.floats(1, 9), st.integers(0, 2**31))
def test_the_target_fills_the_source(tokens: int, share: float, mean_span: float, seed: int) -> None:
    whole, noise = text(tokens), Noise(share, mean_span)
    source, target = corrupt(whole, noise, SENTINELS, np.random.default_rng(seed))
    assert source.dtype == target.dtype == np.int32
    spans = spans_of(target)
    assert all(spans)
    assert [each for each in source.tolist() if each in SENTINELS] == list(SENTINELS[: len(spans)])
    filled = [spans[each - SENTINELS[0]] if each in SENTINELS else [each] for each in source.tolist()]
    assert [token for part in filled for token in part] == whole.tolist()
    # No two sentinels stand side by side: they would be one.
    assert all(not {one, other} <= set(SENTINELS) for one, other in pairwise(source))
    assert (len(source), len(target)) == noise.lengths(tokens)
    assert (sum(map(len, spans)), len(spans)) == noise.counts(tokens)


@pytest.mark.parametrize(
    ("tokens", "share", "mean_span", "counts"),
    [
        # The paper's own: 15% in spans of 3, of a sequence of 512 (Raffel et al. 2020, section 3.3.4).
        (512, 0.15, 3.0, (77, 26)),
        (100, 0.15, 3.0, (15, 5)),
        (100, 0.5, 1.0, (50, 50)),
        (10, 0.15, 5.0, (2, 1)),
        # So much that the spans would touch: as many as there is room for.
        (10, 0.8, 1.0, (8, 3)),
        (1, 0.15, 3.0, (1, 1)),
        (2, 0.15, 3.0, (1, 1)),
    ],
)
def test_counts(tokens: int, share: float, mean_span: float, counts: tuple[int, int]) -> None:
    assert Noise(share, mean_span).counts(tokens) == counts


@given(st.integers(1, 300), st.floats(0.01, 0.99), st.floats(1, 9))
def test_a_longer_window_needs_no_fewer_places_or_sentinels(tokens: int, share: float, mean_span: float) -> None:
    noise = Noise(share, mean_span)
    for shorter, longer in zip(noise.counts(tokens), noise.counts(tokens + 1), strict=True):
        assert shorter <= longer
    for shorter, longer in zip(noise.lengths(tokens), noise.lengths(tokens + 1), strict=True):
        assert shorter <= longer


def test_all_ways_to_cut_are_equally_probable() -> None:
    tokens, noise = 7, Noise(3 / 7, 1.5)
    assert noise.counts(tokens) == (3, 2)
    ways = [
        places for places in combinations(range(tokens), 3) if sum(place - 1 not in places for place in places) == 2
    ]
    generator, draws = np.random.default_rng(11), 3000
    found: Counter[tuple[int, ...]] = Counter()
    for _ in range(draws):
        _, target = corrupt(text(tokens), noise, SENTINELS, generator)
        found[tuple(token - 4 for span in spans_of(target) for token in span)] += 1
    assert set(found) == set(ways)
    share = 1 / len(ways)
    bound = 5 * (draws * share * (1 - share)) ** 0.5
    assert all(abs(count - draws * share) < bound for count in found.values())

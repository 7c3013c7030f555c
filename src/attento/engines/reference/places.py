"""Where tokens stand: vectors that are added to theirs, or what attention is told of their distances.

The formulas of `attento.nn.positions` and `attento.nn.relation`, without torch, for one sentence.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from attento.engines.packed.panels import Floats
from attento.engines.reference.linear import Ids

Layout = Literal["interleaved", "halves"]


def sinusoidal_positions(start: int, length: int, d_model: int, layout: Layout) -> Floats:
    """Compute PE(pos, 2i) = sin(pos / 10000^(2i/d_model)) and PE(pos, 2i+1) = cos(the same), (length, D).

    Vaswani et al. 2017, section 3.5; in "halves" all sines stand before all cosines. Computed in float64.
    """
    position = np.arange(start, start + length, dtype=np.float64)[:, None]
    angle = position * np.exp(-math.log(10000.0) * np.arange(0, d_model, 2) / d_model)
    sines, cosines = np.sin(angle), np.cos(angle)[:, : d_model // 2]
    table = np.concatenate((sines, cosines), axis=1)
    if layout == "interleaved":
        table[:, 0::2], table[:, 1::2] = sines, cosines
    return table.astype(np.float32)


@dataclass(frozen=True)
class Relation:
    """What attention is told of its tokens' places: a rotation of queries and keys, a bias of scores, or nothing."""

    cosines: Floats | None = None  # (T, K/2)
    sines: Floats | None = None  # (T, K/2)
    layout: Layout = "interleaved"
    bias: Floats | None = None  # (H, T, L)

    def rotate(self, heads: Floats) -> Floats:
        """Turn every pair of features of queries or keys, (N, H, T, K), where they are to be turned.

        Su et al. 2021, eq. 34; the pairs are neighbours ("interleaved") or stand half a head apart ("halves").
        """
        if self.cosines is None or self.sines is None:
            return heads
        half, turned = heads.shape[-1] // 2, np.empty_like(heads)
        interleaved = self.layout == "interleaved"
        first, second = (slice(0, None, 2), slice(1, None, 2)) if interleaved else (slice(half), slice(half, None))
        turned[..., first] = heads[..., first] * self.cosines - heads[..., second] * self.sines
        turned[..., second] = heads[..., first] * self.sines + heads[..., second] * self.cosines
        return turned


def rotary(angles: NDArray[np.float64], new: Ids, layout: Layout) -> Relation:
    """Turn by an angle per place of each pair (Su et al. 2021, section 3.2.2)."""
    turns = new[:, None] * angles
    return Relation(np.cos(turns).astype(np.float32), np.sin(turns).astype(np.float32), layout)


def linear_biases(slopes: Floats, new: Ids, seen: Ids) -> Relation:
    """Take each distance times the head's slope from the score (ALiBi; Press et al. 2022, section 3)."""
    distances = np.abs(new[:, None] - seen).astype(np.float32)
    return Relation(bias=-slopes[:, None, None] * distances)


def bucket_biases(table: Floats, new: Ids, seen: Ids, max_distance: int, *, both_ways: bool) -> Relation:
    """Add what was learned for each distance (T5; Raffel et al. 2020, section 2.1); `table` is (buckets, H)."""
    bucket = distance_buckets(new[:, None] - seen, len(table), max_distance, both_ways=both_ways)
    return Relation(bias=np.ascontiguousarray(table[bucket].transpose(2, 0, 1)))  # (T, L, H) -> (H, T, L)


def distance_buckets(distances: Ids, buckets: int, max_distance: int, *, both_ways: bool) -> Ids:
    """Return the bucket of each distance: small ones have their own, greater ones share one, on a logarithmic scale.

    A distance is negative where what is seen stands behind: `both_ways` gives these half of the buckets, else they are
    as near as can be.
    """
    first = np.zeros_like(distances)
    if both_ways:
        buckets //= 2
        first = (distances < 0) * buckets
        distances = np.abs(distances)
    distances = np.maximum(distances, 0)
    exact = buckets // 2
    ratio = np.log(np.maximum(distances, exact) / exact) / math.log(max_distance / exact)
    shared = np.minimum(exact + (ratio * (buckets - exact)).astype(np.int64), buckets - 1)
    return first + np.where(distances < exact, distances, shared)

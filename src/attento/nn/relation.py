"""How two tokens stand to each other, told to attention: keys and queries turned, or scores moved.

Rotary positions (Su et al. 2021), linear biases (Press et al. 2022) and learned biases by distance (Raffel et al. 2020,
section 2.1). Unlike positions that are added to a token's vector, these see distances alone.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attento.nn.names import Layout


@dataclass(frozen=True)
class Places:
    """Where the tokens stand that attend, and those that can be attended to; both are counted from 0 in each row."""

    new: Int[Tensor, "#N T"]
    seen: Int[Tensor, "#N L"]

    @property
    def distances(self) -> Int[Tensor, "#N T L"]:
        """How far before each new token a seen one stands; negative where it stands behind."""
        return self.new[:, :, None] - self.seen[:, None, :]


def consecutive_places(
    start: int | Int[Tensor, "N 1"], length: int, seen: int, device: torch.device | None = None
) -> Places:
    """Return the places of `length` tokens from `start` on, which see themselves and the `seen` tokens before them.

    Rows that began at different places have a `start` each; what stands before a row's first token, as padding does,
    is at a place below 0.
    """
    return Places(
        torch.arange(length, device=device)[None] + start,
        torch.arange(-seen, length, device=device)[None] + start,
    )


@dataclass(frozen=True)
class Rotation:
    """The angles by which the pairs of a head's features are turned, as cosines and sines."""

    cosines: Float[Tensor, "#N 1 T P"]
    sines: Float[Tensor, "#N 1 T P"]
    layout: Layout

    def __call__(self, heads: Float[Tensor, "N H T K"]) -> Float[Tensor, "N H T K"]:
        """Turn every pair of features, in float32 at least (Su et al. 2021, eq. 34)."""
        fine = heads.to(torch.promote_types(heads.dtype, torch.float32))
        first, second = (fine[..., 0::2], fine[..., 1::2]) if self.layout == "interleaved" else fine.chunk(2, dim=-1)
        turned = first * self.cosines - second * self.sines, first * self.sines + second * self.cosines
        joined = torch.stack(turned, dim=-1).flatten(-2) if self.layout == "interleaved" else torch.cat(turned, dim=-1)
        return joined.to(heads.dtype)


@dataclass(frozen=True)
class Relation:
    """What attention is told of its tokens' places: a rotation of queries and keys, a bias of scores, or nothing."""

    rotation: Rotation | None = None
    bias: Float[Tensor, "#N H T L"] | None = None

    def rotate(self, heads: Float[Tensor, "N H T K"]) -> Float[Tensor, "N H T K"]:
        """Turn queries or keys; as they are where nothing is to be turned."""
        return heads if self.rotation is None else self.rotation(heads)


NO_RELATION = Relation()


class NoRelations(nn.Module):
    """Attention is told nothing of places."""

    def forward(self, places: Places) -> Relation:
        """Return nothing."""
        return NO_RELATION


@dataclass(frozen=True)
class RotaryScaling:
    """Slower angles, so that a model can read longer texts than it was trained on.

    "linear" divides every angle by `factor` (Chen et al. 2023, "Extending context window of large language models via
    positional interpolation", arXiv:2306.15595). "llama3" divides in full those that turn less than `low` times within
    the `original_length` that the model was trained on, leaves those that turn more than `high` times, and goes from
    one to the other in between (the Llama 3 release of 2024).
    """

    kind: Literal["linear", "llama3"]
    factor: float
    low: float = 1.0
    high: float = 4.0
    original_length: int = 8192

    def apply(self, angle: float) -> float:
        """Scale an angle per place, in radians."""
        if self.kind == "linear":
            return angle / self.factor
        turns = self.original_length * angle / (2 * math.pi)
        kept = min(max((turns - self.low) / (self.high - self.low), 0), 1)
        return angle * (kept + (1 - kept) / self.factor)


class RotaryRelations(nn.Module):
    """Turn queries and keys by angles that grow with their places, so that products see distances (Su et al. 2021).

    The feature pairs are (0, 1), (2, 3), ... as printed ("interleaved", eq. 34), or (0, K/2), (1, K/2 + 1), ...
    ("halves", as LLaMA's weights in Hugging Face's format have it): the same up to an order of the features.
    """

    def __init__(
        self, d_head: int, base: float = 10000.0, layout: Layout = "interleaved", scaling: RotaryScaling | None = None
    ) -> None:
        """Set the angle per place of each pair: base^(-2i / d_head) (Su et al. 2021, section 3.2.2).

        Raises:
            ValueError: `d_head` is odd, so that its features make no pairs.
        """
        super().__init__()
        if d_head % 2:
            raise ValueError(
                f"rotary positions turn features in pairs, so a head's width must be even, but is {d_head}"
            )
        self.layout: Layout = layout
        # As plain numbers and not as a buffer: a model in half precision would round them.
        angles = [base ** (-pair / d_head) for pair in range(0, d_head, 2)]
        self._angles = [scaling.apply(angle) for angle in angles] if scaling else angles

    def forward(self, places: Places) -> Relation:
        """Return the rotation of the new tokens' queries and keys; angles are computed in float64."""
        per_place = torch.tensor(self._angles, dtype=torch.float64, device=places.new.device)
        angles = (places.new[:, :, None] * per_place)[:, None]  # (N, T) -> (N, 1, T, K/2)
        return Relation(rotation=Rotation(angles.cos().float(), angles.sin().float(), self.layout))


class LinearBiases(nn.Module):
    """Take from each score its distance times a slope of the head (ALiBi; Press et al. 2022, section 3).

    The slopes are a geometric row, 2^(-8/H), 2^(-16/H), ...; where the number of heads is no power of two, the row of
    the next smaller power, and between its members those of the next greater one, as the authors' code has it. What
    stands behind is as far as what stands before.
    """

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self._slopes = linear_slopes(num_heads)

    def forward(self, places: Places) -> Relation:
        """Return minus slope times distance."""
        slopes = torch.tensor(self._slopes, device=places.new.device)
        return Relation(bias=-slopes[:, None, None] * places.distances.abs()[:, None])


def linear_slopes(num_heads: int) -> list[float]:
    """Return each head's slope (Press et al. 2022, section 3)."""
    power = 2 ** int(math.log2(num_heads))
    slopes = [2 ** (-8 * head / power) for head in range(1, power + 1)]
    between = [2 ** (-4 * head / power) for head in range(1, 2 * power, 2)]
    return slopes + between[: num_heads - power]


class BucketBiases(nn.Module):
    """Add to each score what was learned for its distance (T5; Raffel et al. 2020, section 2.1).

    Small distances have a value each, greater ones share a value, the more the greater they are, up to `max_distance`.
    A stack shares one table between its layers. In a decoder all that stands behind is one bucket; an encoder has as
    many buckets for it as for what stands before.
    """

    def __init__(self, num_heads: int, buckets: int = 32, max_distance: int = 128, *, both_ways: bool) -> None:
        super().__init__()
        self.buckets, self.max_distance, self.both_ways = buckets, max_distance, both_ways
        self.weight = nn.Parameter(torch.zeros(buckets, num_heads))

    def forward(self, places: Places) -> Relation:
        """Look every distance up."""
        bucket = distance_buckets(places.distances, self.buckets, self.max_distance, self.both_ways)
        return Relation(bias=self.weight[bucket].permute(0, 3, 1, 2))  # (N, T, L) -> (N, T, L, H) -> (N, H, T, L)


def distance_buckets(
    distances: Int[Tensor, "N T L"], buckets: int, max_distance: int, both_ways: bool
) -> Int[Tensor, "N T L"]:
    """Return the bucket of each distance (Raffel et al. 2020, section 2.1, and the released code)."""
    first: Tensor | int = 0
    if both_ways:
        buckets //= 2
        first = (distances < 0) * buckets
        distances = distances.abs()
    else:
        distances = distances.clamp(min=0)
    exact = buckets // 2
    ratio = torch.log(distances.clamp(min=exact).double() / exact) / math.log(max_distance / exact)
    shared = (exact + (ratio * (buckets - exact)).long()).clamp(max=buckets - 1)
    return first + torch.where(distances < exact, distances, shared)

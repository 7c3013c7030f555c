"""Where a token stands, added to what it is: sinusoidal and learned positions (Vaswani et al. 2017, section 3.5)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attento.nn.names import Layout


def sinusoidal_table(
    length: int, d_model: int, start: int = 0, layout: Layout = "interleaved"
) -> Float[Tensor, "length D"]:
    """Compute PE(pos, 2i) = sin(pos / 10000^(2i/d_model)) and PE(pos, 2i+1) = cos(the same).

    Sines and cosines are interleaved, as printed (Vaswani et al. 2017, section 3.5), or all sines stand before all
    cosines ("halves", as in the authors' code and in Marian). Computed in float64, since a float32 angle of some
    thousands has lost its last digits; returned in float32.
    """
    position = torch.arange(start, start + length, dtype=torch.float64)[:, None]
    even = torch.arange(0, d_model, 2, dtype=torch.float64)
    angle = position * torch.exp(-math.log(10000.0) * even / d_model)
    sines, cosines = angle.sin(), angle.cos()[:, : d_model // 2]
    if layout == "halves":
        return torch.cat((sines, cosines), dim=1).float()
    table = torch.zeros(length, d_model, dtype=torch.float64)
    table[:, 0::2], table[:, 1::2] = sines, cosines
    return table.float()


class SinusoidalPositions(nn.Module):
    """Positions as fixed waves; any length."""

    table: Tensor
    max_length: int | None = None

    def __init__(self, d_model: int, precomputed: int = 512, layout: Layout = "interleaved") -> None:
        super().__init__()
        self.layout: Layout = layout
        self.register_buffer("table", sinusoidal_table(precomputed, d_model, layout=layout), persistent=False)

    def forward(self, start: int, length: int) -> Float[Tensor, "length D"]:
        """Return the vectors of positions start .. start + length - 1."""
        if start + length <= self.table.size(0):
            return self.table[start : start + length]
        return sinusoidal_table(length, self.table.size(1), start, self.layout).to(self.table)


class LearnedPositions(nn.Module):
    """Positions as trained vectors; none beyond `max_length` (Vaswani et al. 2017, Table 3, row E)."""

    def __init__(self, d_model: int, max_length: int) -> None:
        super().__init__()
        self.max_length = max_length
        self.weight = nn.Parameter(torch.empty(max_length, d_model))
        nn.init.normal_(self.weight, std=d_model**-0.5)

    def forward(self, start: int, length: int) -> Float[Tensor, "length D"]:
        """Return the vectors of positions start .. start + length - 1.

        Raises:
            IndexError: a position at or beyond `max_length` is asked for.
        """
        if start + length > self.max_length:
            raise IndexError(
                f"position {start + length - 1} is beyond the {self.max_length} positions that this model has learned"
            )
        return self.weight[start : start + length]


class NoPositions(nn.Module):
    """No positions at all: every order of the tokens is the same (section 3.5 says what is lost)."""

    zero: Tensor
    max_length: int | None = None

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.register_buffer("zero", torch.zeros(1, d_model), persistent=False)

    def forward(self, start: int, length: int) -> Float[Tensor, "length D"]:
        """Return zeros."""
        return self.zero.expand(length, -1)


def add_positions(
    tokens: Float[Tensor, "B L D"], positions: Float[Tensor, "L D"] | Float[Tensor, "B L D"]
) -> Float[Tensor, "B L D"]:
    """Add positions to token vectors, in the finer of their number formats; return the format of the tokens."""
    return (tokens + positions).to(tokens.dtype)

"""Scaled dot-product attention and its multi-head form (Vaswani et al. 2017, section 3.2).

The readable form is the definition; the fused twin computes the same context without showing the weights.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attento.nn.state import KeyValues

Scores = Literal["scaled", "unscaled", "uniform"]


def scaled_dot_product_attention(
    query: Float[Tensor, "B H T K"],
    key: Float[Tensor, "B H S K"],
    value: Float[Tensor, "B H S E"],
    mask: Bool[Tensor, "#B #H #T S"] | Bool[Tensor, "T S"] | None = None,
    scale: float | None = None,
) -> tuple[Float[Tensor, "B H T E"], Float[Tensor, "B H T S"]]:
    """Compute softmax(Q K^T / sqrt(d_k)) V and the weights (Vaswani et al. 2017, section 3.2.1, eq. 1).

    A query that may attend to nothing gets zero weights and a zero context. The softmax is in float32 at least.

    Args:
        query: what looks for something.
        key: what can be found.
        value: what is gathered where a key is found.
        mask: what each query may attend to; everything if None.
        scale: what the products are multiplied by; 1 / sqrt(d_k) if None.
    """
    scores = query @ key.transpose(-2, -1)  # (B, H, T, K) -> (B, H, T, S)
    scores = scores / math.sqrt(query.size(-1)) if scale is None else scores * scale
    # Finer than a half-precision model's own format, and on a CPU several times faster.
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if mask is None:
        weights = scores.softmax(dim=-1)
    else:
        # The lowest finite score, not -inf: a row with nothing to attend to must not become 0/0.
        weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1)
        weights = weights * mask.any(dim=-1, keepdim=True)
    return weights.to(value.dtype) @ value, weights  # (B, H, T, S) -> (B, H, T, E)


def fused_attention(
    query: Float[Tensor, "B H T K"],
    key: Float[Tensor, "B H S K"],
    value: Float[Tensor, "B H S E"],
    mask: Bool[Tensor, "#B #H #T S"] | Bool[Tensor, "T S"] | None = None,
    scale: float | None = None,
) -> Float[Tensor, "B H T E"]:
    """Compute the context of `scaled_dot_product_attention` in one fused operation, without the weights."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)


# On a CPU plain products beat the fused kernel's backward pass at sentence length; from 512 positions on the kernel is
# faster and takes far less memory (benchmarks/results/growth.md).
_FEW_SCORES = 512 * 512


def attend(
    query: Float[Tensor, "B H T K"],
    key: Float[Tensor, "B H S K"],
    value: Float[Tensor, "B H S E"],
    mask: Bool[Tensor, "#B #H #T S"] | Bool[Tensor, "T S"] | None = None,
    scale: float | None = None,
) -> Float[Tensor, "B H T E"]:
    """Compute attention's context by whichever form is faster: the one place where the choice is made."""
    if query.device.type == "cpu" and query.size(-2) * key.size(-2) < _FEW_SCORES:
        return scaled_dot_product_attention(query, key, value, mask, scale)[0]
    return fused_attention(query, key, value, mask, scale)


class MultiHeadAttention(nn.Module):
    """Attention by several heads, each on its own projection (Vaswani et al. 2017, section 3.2.2).

    Keys and values are projected by a call of their own, so that a decoder can keep them from step to step.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_key: int | None = None,
        d_value: int | None = None,
        *,
        scores: Scores = "scaled",
        projections: bool = True,
    ) -> None:
        """Make the four projections.

        Args:
            d_model: width of what comes in and goes out.
            num_heads: number of heads.
            d_key: width of one head's queries and keys; `d_model / num_heads` if None.
            d_value: width of one head's values; `d_model / num_heads` if None.
            scores: "scaled" is Q K^T / sqrt(d_k); "unscaled" is Q K^T; "uniform" is Q = K = 0, so that each query gets
                the plain mean of what it may attend to, and no query or key is projected.
            projections: whether anything is projected; otherwise the heads share the vectors themselves out between
                them, and one head with unscaled scores is softmax(X X^T) X.

        Raises:
            ValueError: `num_heads` does not divide `d_model` where a head's width is left to it, or a width is given
                where nothing is projected.
        """
        super().__init__()
        if not projections and (d_key is not None or d_value is not None):
            raise ValueError(
                "without `projections` a head is `d_model / num_heads` wide, so `d_key` and `d_value` must be left "
                f"out, but got d_key={d_key} and d_value={d_value}"
            )
        if (d_key is None or d_value is None) and d_model % num_heads:
            raise ValueError(f"`num_heads` must divide `d_model`, but got num_heads={num_heads} and d_model={d_model}")
        self.num_heads = num_heads
        self.scale = 1.0 if scores == "unscaled" else None
        keys, values = num_heads * (d_key or d_model // num_heads), num_heads * (d_value or d_model // num_heads)
        compared = scores != "uniform"
        self.query = _projection(d_model, keys, projections) if compared else Zeros(keys)
        self.key = _projection(d_model, keys, projections) if compared else Zeros(keys)
        self.value = _projection(d_model, values, projections)
        self.output = _projection(values, d_model, projections)

    def keys_values(self, memory: Float[Tensor, "B S D"]) -> KeyValues:
        """Project what can be attended to into keys and values, split into heads."""
        return KeyValues(self._split(self.key(memory)), self._split(self.value(memory)))

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        memory: KeyValues,
        mask: Bool[Tensor, "#B #H #T S"] | Bool[Tensor, "T S"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Let each position of `hidden` gather from projected keys and values."""
        context = attend(self._split(self.query(hidden)), memory.keys, memory.values, mask, self.scale)
        gathered: Tensor = self.output(context.transpose(1, 2).flatten(2))  # (B, H, T, E) -> (B, T, H*E) -> (B, T, D)
        return gathered

    def _split(self, projected: Float[Tensor, "B L HK"]) -> Float[Tensor, "B H L K"]:
        return torch.unflatten(projected, -1, (self.num_heads, -1)).transpose(1, 2)


class Zeros(nn.Module):
    """Zeros, whatever comes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, hidden: Float[Tensor, "B L D"]) -> Float[Tensor, "B L E"]:
        """Return a vector of zeros for each position."""
        # A product, so that whatever came before has a gradient, if of zeros: several processes count on it.
        return hidden[:, :, :1] * hidden.new_zeros(self.width)


def _projection(d_in: int, d_out: int, projected: bool) -> nn.Module:
    return nn.Linear(d_in, d_out) if projected else nn.Identity()

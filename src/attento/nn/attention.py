"""Scaled dot-product attention and its multi-head form (Vaswani et al. 2017, section 3.2).

The readable form is the definition; the fused twin computes the same context without showing the weights.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attento.nn.state import KeyValues


def scaled_dot_product_attention(
    query: Float[Tensor, "B H T K"],
    key: Float[Tensor, "B H S K"],
    value: Float[Tensor, "B H S E"],
    mask: Bool[Tensor, "#B #H #T S"] | Bool[Tensor, "T S"] | None = None,
) -> tuple[Float[Tensor, "B H T E"], Float[Tensor, "B H T S"]]:
    """Compute softmax(Q K^T / sqrt(d_k)) V and the weights (Vaswani et al. 2017, section 3.2.1, eq. 1).

    A query that may attend to nothing gets zero weights and a zero context. The softmax is in float32 at least.
    """
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))  # (B, H, T, K) -> (B, H, T, S)
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
) -> Float[Tensor, "B H T E"]:
    """Compute the context of `scaled_dot_product_attention` in one fused operation, without the weights."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


# On a CPU plain products beat the fused kernel's backward pass at sentence length; from 512 positions on the kernel is
# faster and takes far less memory (benchmarks/results/growth.md).
_FEW_SCORES = 512 * 512


def attend(
    query: Float[Tensor, "B H T K"],
    key: Float[Tensor, "B H S K"],
    value: Float[Tensor, "B H S E"],
    mask: Bool[Tensor, "#B #H #T S"] | Bool[Tensor, "T S"] | None = None,
) -> Float[Tensor, "B H T E"]:
    """Compute attention's context by whichever form is faster: the one place where the choice is made."""
    if query.device.type == "cpu" and query.size(-2) * key.size(-2) < _FEW_SCORES:
        return scaled_dot_product_attention(query, key, value, mask)[0]
    return fused_attention(query, key, value, mask)


class MultiHeadAttention(nn.Module):
    """Attention by several heads, each on its own projection (Vaswani et al. 2017, section 3.2.2).

    Keys and values are projected by a call of their own, so that a decoder can keep them from step to step.
    """

    def __init__(self, d_model: int, num_heads: int, d_key: int | None = None, d_value: int | None = None) -> None:
        """Make the four projections.

        Args:
            d_model: width of what comes in and goes out.
            num_heads: number of heads.
            d_key: width of one head's queries and keys; `d_model / num_heads` if None.
            d_value: width of one head's values; `d_model / num_heads` if None.

        Raises:
            ValueError: `num_heads` does not divide `d_model` where a head's width is left to it.
        """
        super().__init__()
        if (d_key is None or d_value is None) and d_model % num_heads:
            raise ValueError(f"`num_heads` must divide `d_model`, but got num_heads={num_heads} and d_model={d_model}")
        self.num_heads = num_heads
        d_key, d_value = d_key or d_model // num_heads, d_value or d_model // num_heads
        self.query = nn.Linear(d_model, num_heads * d_key)
        self.key = nn.Linear(d_model, num_heads * d_key)
        self.value = nn.Linear(d_model, num_heads * d_value)
        self.output = nn.Linear(num_heads * d_value, d_model)

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
        context = attend(self._split(self.query(hidden)), memory.keys, memory.values, mask)
        gathered: Tensor = self.output(context.transpose(1, 2).flatten(2))  # (B, H, T, E) -> (B, T, H*E) -> (B, T, D)
        return gathered

    def _split(self, projected: Float[Tensor, "B L HK"]) -> Float[Tensor, "B H L K"]:
        return torch.unflatten(projected, -1, (self.num_heads, -1)).transpose(1, 2)

"""Scaled dot-product attention and its multi-head form (Vaswani et al. 2017, section 3.2), with shared keys and values.

The readable form is the definition; the fused twin computes the same context without showing the weights.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attento.nn.names import Scores
from attento.nn.relation import NO_RELATION, Relation
from attento.nn.state import KeyValues


def scaled_dot_product_attention(
    query: Float[Tensor, "B H T K"],
    key: Float[Tensor, "B G S K"],
    value: Float[Tensor, "B G S E"],
    mask: Bool[Tensor, "#B #H #T S"] | Bool[Tensor, "T S"] | None = None,
    scale: float | None = None,
    bias: Float[Tensor, "#B H T S"] | None = None,
) -> tuple[Float[Tensor, "B H T E"], Float[Tensor, "B H T S"]]:
    """Compute softmax(Q K^T / sqrt(d_k)) V and the weights (Vaswani et al. 2017, section 3.2.1, eq. 1).

    A query that may attend to nothing gets zero weights and a zero context. The softmax is in float32 at least.

    Args:
        query: what looks for something.
        key: what can be found; where there are fewer key heads than query heads, each serves H / G queries in a row
            (Ainslie et al. 2023, section 2.2), and is not copied for them.
        value: what is gathered where a key is found.
        mask: what each query may attend to; everything if None.
        scale: what the products are multiplied by; 1 / sqrt(d_k) if None.
        bias: what is added to the scaled products, before the softmax.
    """
    scores = _by_group(query, key.transpose(-2, -1))  # (B, H, T, K) -> (B, H, T, S)
    scores = scores / math.sqrt(query.size(-1)) if scale is None else scores * scale
    # Finer than a half-precision model's own format, and on a CPU several times faster.
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if bias is not None:
        scores = scores + bias
    if mask is None:
        weights = scores.softmax(dim=-1)
    else:
        # The lowest finite score, not -inf: a row with nothing to attend to must not become 0/0.
        weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1)
        weights = weights * mask.any(dim=-1, keepdim=True)
    return _by_group(weights.to(value.dtype), value), weights  # (B, H, T, S) -> (B, H, T, E)


def fused_attention(
    query: Float[Tensor, "B H T K"],
    key: Float[Tensor, "B G S K"],
    value: Float[Tensor, "B G S E"],
    mask: Bool[Tensor, "#B #H #T S"] | Bool[Tensor, "T S"] | None = None,
    scale: float | None = None,
    bias: Float[Tensor, "#B H T S"] | None = None,
) -> Float[Tensor, "B H T E"]:
    """Compute the context of `scaled_dot_product_attention` in one fused operation, without the weights."""
    grouped = query.size(1) != key.size(1)
    if bias is None:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale, enable_gqa=grouped)
    added = bias.to(query.dtype)
    if mask is not None:
        added = added.masked_fill(~mask, -math.inf)
    context = F.scaled_dot_product_attention(query, key, value, attn_mask=added, scale=scale, enable_gqa=grouped)
    # Minus infinity everywhere is 0/0 to the kernel; a query that may attend to nothing gets zeros.
    return context if mask is None else context.masked_fill(~mask.any(dim=-1, keepdim=True), 0)


def _by_group(left: Float[Tensor, "B H T N"], right: Float[Tensor, "B G N M"]) -> Float[Tensor, "B H T M"]:
    """Multiply each head's matrix by that of its group."""
    heads, groups = left.size(1), right.size(1)
    if heads == groups:
        return left @ right
    # The heads of a group, one below the other, are one matrix: (B, H, T, N) -> (B, G, H/G * T, N)
    stacked = torch.unflatten(left, 1, (groups, heads // groups)).flatten(2, 3)
    return torch.unflatten(stacked @ right, 2, (heads // groups, left.size(2))).flatten(1, 2)


# On a CPU plain products beat the fused kernel's backward pass at sentence length; from 512 positions on the kernel is
# faster and takes far less memory (benchmarks/results/growth.md).
_FEW_SCORES = 512 * 512


def attend(
    query: Float[Tensor, "B H T K"],
    key: Float[Tensor, "B G S K"],
    value: Float[Tensor, "B G S E"],
    mask: Bool[Tensor, "#B #H #T S"] | Bool[Tensor, "T S"] | None = None,
    scale: float | None = None,
    bias: Float[Tensor, "#B H T S"] | None = None,
) -> Float[Tensor, "B H T E"]:
    """Compute attention's context by whichever form is faster: the one place where the choice is made."""
    if query.device.type == "cpu" and query.size(-2) * key.size(-2) < _FEW_SCORES:
        return scaled_dot_product_attention(query, key, value, mask, scale, bias)[0]
    return fused_attention(query, key, value, mask, scale, bias)


class MultiHeadAttention(nn.Module):
    """Attention by several heads, each on its own projection (Vaswani et al. 2017, section 3.2.2).

    Keys and values are projected by a call of their own, so that a decoder can keep them from step to step. Several
    heads may share them: one key and value for all is multi-query attention (Shazeer 2019, arXiv:1911.02150), one for
    each group of heads is grouped-query attention (Ainslie et al. 2023, arXiv:2305.13245); what a decoder keeps is then
    `num_kv_heads / num_heads` of what it would be.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_key: int | None = None,
        d_value: int | None = None,
        *,
        num_kv_heads: int | None = None,
        scores: Scores = "scaled",
        projections: bool = True,
        bias: bool = True,
    ) -> None:
        """Make the four projections.

        Args:
            d_model: width of what comes in and goes out.
            num_heads: number of heads.
            d_key: width of one head's queries and keys; `d_model / num_heads` if None.
            d_value: width of one head's values; `d_model / num_heads` if None.
            num_kv_heads: number of heads that keys and values have; `num_heads` if None.
            scores: "scaled" is Q K^T / sqrt(d_k); "unscaled" is Q K^T; "uniform" is Q = K = 0, so that each query gets
                the plain mean of what it may attend to, and no query or key is projected.
            projections: whether anything is projected; otherwise the heads share the vectors themselves out between
                them, and one head with unscaled scores is softmax(X X^T) X.
            bias: whether the projections add a vector.

        Raises:
            ValueError: `num_heads` does not divide `d_model` where a head's width is left to it, `num_kv_heads` does
                not divide `num_heads`, or a width or `num_kv_heads` is given where nothing is projected.
        """
        super().__init__()
        if not projections and (d_key, d_value, num_kv_heads) != (None, None, None):
            raise ValueError(
                "without `projections` a head is `d_model / num_heads` wide, so `d_key`, `d_value` and `num_kv_heads` "
                f"must be left out, but got d_key={d_key}, d_value={d_value} and num_kv_heads={num_kv_heads}"
            )
        if (d_key is None or d_value is None) and d_model % num_heads:
            raise ValueError(f"`num_heads` must divide `d_model`, but got num_heads={num_heads} and d_model={d_model}")
        groups = num_kv_heads or num_heads
        if num_heads % groups:
            raise ValueError(
                f"`num_kv_heads` must divide `num_heads`, but got num_kv_heads={groups} and num_heads={num_heads}"
            )
        self.num_heads, self.num_kv_heads = num_heads, groups
        self.scale = 1.0 if scores == "unscaled" else None
        key, value = d_key or d_model // num_heads, d_value or d_model // num_heads
        if scores == "uniform":
            self.query: nn.Module = Zeros(num_heads * key)
            self.key: nn.Module = Zeros(groups * key)
        else:
            self.query = _projection(d_model, num_heads * key, projections, bias)
            self.key = _projection(d_model, groups * key, projections, bias)
        self.value = _projection(d_model, groups * value, projections, bias)
        self.output = _projection(num_heads * value, d_model, projections, bias)

    def keys_values(self, memory: Float[Tensor, "B S D"], relation: Relation = NO_RELATION) -> KeyValues:
        """Project what can be attended to into keys (turned, where places turn them) and values, split into heads."""
        keys = self._split(self.key(memory), self.num_kv_heads)
        return KeyValues(relation.rotate(keys), self._split(self.value(memory), self.num_kv_heads))

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        memory: KeyValues,
        mask: Bool[Tensor, "#B #H #T S"] | Bool[Tensor, "T S"] | None = None,
        relation: Relation = NO_RELATION,
    ) -> Float[Tensor, "B T D"]:
        """Let each position of `hidden` gather from projected keys and values."""
        query = relation.rotate(self._split(self.query(hidden), self.num_heads))
        context = attend(query, memory.keys, memory.values, mask, self.scale, relation.bias)
        gathered: Tensor = self.output(context.transpose(1, 2).flatten(2))  # (B, H, T, E) -> (B, T, H*E) -> (B, T, D)
        return gathered

    def _split(self, projected: Float[Tensor, "B L HK"], heads: int) -> Float[Tensor, "B H L K"]:
        return torch.unflatten(projected, -1, (heads, -1)).transpose(1, 2)


class Zeros(nn.Module):
    """Zeros, whatever comes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, hidden: Float[Tensor, "B L D"]) -> Float[Tensor, "B L E"]:
        """Return a vector of zeros for each position."""
        # A product, so that whatever came before has a gradient, if of zeros: several processes count on it.
        return hidden[:, :, :1] * hidden.new_zeros(self.width)


def _projection(d_in: int, d_out: int, projected: bool, bias: bool) -> nn.Module:
    return nn.Linear(d_in, d_out, bias) if projected else nn.Identity()

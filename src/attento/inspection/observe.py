"""What a module that attends has done, told from what it was given: its arrays by name.

Every function is given the module and the arguments of its `forward`, and computes by the words of `nn` what the module
has computed, in the readable form, where its own road was a fused one. Heads stand on axis 1 everywhere.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attento.models.classification.decomposable import SoftAlignment, alignment_weights
from attento.models.classification.self_attentive import Annotation
from attento.models.translation.convolutional import SourceAttention
from attento.nn.alignment import Alignment, AlignmentSource, additive_scores, gather, product_scores
from attento.nn.attention import MultiHeadAttention, scaled_dot_product_attention
from attento.nn.masks import padding_mask
from attento.nn.relation import NO_RELATION, Relation
from attento.nn.state import KeyValues
from attento.shapes import Hidden, TokenMask


def multi_head(
    attention: MultiHeadAttention,
    hidden: Float[Tensor, "B T D"],
    memory: KeyValues,
    mask: Bool[Tensor, "#B #H #T S"] | Bool[Tensor, "T S"] | None = None,
    relation: Relation = NO_RELATION,
) -> dict[str, Tensor]:
    """Tell what multi-head attention has done (Vaswani et al. 2017, section 3.2)."""
    projected = attention.query(hidden)
    query = relation.rotate(torch.unflatten(projected, -1, (attention.num_heads, -1)).transpose(1, 2))
    return _products(query, memory.keys, memory.values, mask, attention.scale, relation.bias)


def from_source(
    attention: SourceAttention, query: Float[Tensor, "N T D"], source: KeyValues, mask: Bool[Tensor, "N S"]
) -> dict[str, Tensor]:
    """Tell what a layer of ConvS2S has gathered; its context is that before it is multiplied by sqrt(S)."""
    return _products(query[:, None], source.keys, source.values, padding_mask(mask), 1.0, None)


def aligned(alignment: Alignment, query: Float[Tensor, "N D"], source: AlignmentSource) -> dict[str, Tensor]:
    """Tell what one step of a recurrent decoder has looked at; for additive scores the query is W s."""
    if alignment.by_query is None or alignment.weight is None:
        scores = product_scores(query, source.keys)
    else:
        query = alignment.by_query(query)
        scores = additive_scores(query, source.keys, alignment.weight)
    context, weights = gather(scores, source.values, source.mask)
    return {
        "weights": weights[:, None, None],  # (N, S) -> (N, 1, 1, S)
        "query": query[:, None, None],
        "key": source.keys[:, None],
        "value": source.values[:, None],
        "scores": scores.masked_fill(~source.mask, -math.inf)[:, None, None],
        "context": context[:, None, None],
    }


def annotated(annotation: Annotation, hidden: Hidden, mask: TokenMask) -> dict[str, Tensor]:
    """Tell what each row of a sentence's annotation weighs: a head each, with one query, over the same vectors."""
    scores = annotation.second(torch.tanh(annotation.first(hidden))).transpose(1, 2)  # (B, L, D) -> (B, R, L)
    weights = annotation.forward(hidden, mask)
    return {
        "weights": weights[:, :, None],  # (B, R, L) -> (B, R, 1, L)
        "value": hidden[:, None],
        "scores": scores.masked_fill(~mask[:, None], -math.inf)[:, :, None],
        "context": (weights.to(hidden.dtype) @ hidden)[:, :, None],
    }


def soft_aligned(
    alignment: SoftAlignment,
    scores: Float[Tensor, "B L M"],
    values: Float[Tensor, "B M E"],
    mask: Bool[Tensor, "B M"],
) -> dict[str, Tensor]:
    """Tell what each word of a sentence is aligned to (Parikh et al. 2016, section 3.1)."""
    weights = alignment_weights(scores, mask)
    return {
        "weights": weights[:, None],
        "value": values[:, None],
        "scores": scores.masked_fill(~mask[:, None], -math.inf)[:, None],
        "context": (weights.to(values.dtype) @ values)[:, None],
    }


def _products(
    query: Float[Tensor, "B H T K"],
    key: Float[Tensor, "B G S K"],
    value: Float[Tensor, "B G S E"],
    mask: Bool[Tensor, "#B #H #T S"] | Bool[Tensor, "T S"] | None,
    scale: float | None,
    bias: Float[Tensor, "#B H T S"] | None,
) -> dict[str, Tensor]:
    context, weights = scaled_dot_product_attention(query, key, value, mask, scale, bias)
    each = key.repeat_interleave(query.size(1) // key.size(1), dim=1)  # (B, G, S, K) -> (B, H, S, K)
    scores = query @ each.transpose(2, 3) * (1 / math.sqrt(query.size(-1)) if scale is None else scale)
    if bias is not None:
        scores = scores + bias
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return {"weights": weights, "query": query, "key": key, "value": value, "scores": scores, "context": context}

"""Attention by one query at a time, as recurrent decoders have it: which source token is looked at now.

Additive attention (Bahdanau et al. 2015, arXiv:1409.0473) and the three global scores of Luong et al. 2015
(arXiv:1508.04025). What concerns the source alone is computed once; a step is left with its own part.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attento.nn.state import select_rows

Score: TypeAlias = Literal["additive", "dot", "general", "concat"]


@dataclass(frozen=True)
class AlignmentSource:
    """The source as a decoder looks at it: keys to score, values to gather, and which tokens are real."""

    keys: Float[Tensor, "N S A"]
    values: Float[Tensor, "N S E"]
    mask: Bool[Tensor, "N S"]

    def select(self, indices: Int[Tensor, " N"]) -> "AlignmentSource":
        """Return a source whose row i is this one's row `indices[i]`."""
        return select_rows(self, indices)


def product_scores(query: Float[Tensor, "N A"], keys: Float[Tensor, "N S A"]) -> Float[Tensor, "N S"]:
    """Score each source token by the product of its key with the query (Luong et al. 2015, section 3.1).

    With h_t the query and h_s the memory, keys are h_s for `dot`, h_t^T h_s, and W h_s for `general`, h_t^T W h_s.
    """
    return torch.bmm(keys, query[..., None])[..., 0]  # (N, S, A) by (N, A, 1)


def additive_scores(
    query: Float[Tensor, "N A"], keys: Float[Tensor, "N S A"], weight: Float[Tensor, " A"]
) -> Float[Tensor, "N S"]:
    """Score each source token by v^T tanh(W s + U h) (Bahdanau et al. 2015, appendix A.1.2).

    Here W s is the query and U h the key. The `concat` score v^T tanh(W [h_t; h_s]) (Luong et al. 2015, section 3.1) is
    the same: a matrix times two vectors one below the other is the sum of two products.
    """
    return torch.tanh(query[:, None] + keys) @ weight


def gather(
    scores: Float[Tensor, "N S"], values: Float[Tensor, "N S E"], mask: Bool[Tensor, "N S"]
) -> tuple[Float[Tensor, "N E"], Float[Tensor, "N S"]]:
    """Compute the weights a = softmax(scores) over the real tokens, and the context: the sum of a_s values_s.

    Where no token is real, weights and context are zero. The softmax is in float32 at least.
    """
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    # The lowest finite score, not -inf: a row with nothing to attend to must not become 0/0.
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1)
    weights = weights * mask.any(dim=-1, keepdim=True)
    return torch.bmm(weights.to(values.dtype)[:, None], values)[:, 0], weights


class Alignment(nn.Module):
    """One of the four scores with its weights."""

    def __init__(self, score: Score, d_query: int, d_memory: int) -> None:
        """Draw the weights; additive scores are computed at the width of the query.

        Raises:
            ValueError: `dot` is asked for, but query and memory differ in width.
        """
        super().__init__()
        if score == "dot" and d_query != d_memory:
            raise ValueError(f"`dot` needs queries as wide as the memory, but got {d_query} and {d_memory}")
        self.by_memory = None if score == "dot" else nn.Linear(d_memory, d_query, bias=False)
        self.by_query, self.weight = None, None
        if score in ("additive", "concat"):
            self.by_query = nn.Linear(d_query, d_query, bias=False)
            self.weight = nn.Parameter(torch.empty(d_query).uniform_(-1, 1) / d_query**0.5)
        for linear in (self.by_memory, self.by_query):
            if linear is not None:
                nn.init.xavier_uniform_(linear.weight)

    def source(self, memory: Float[Tensor, "N S E"], mask: Bool[Tensor, "N S"]) -> AlignmentSource:
        """Project the source once."""
        return AlignmentSource(memory if self.by_memory is None else self.by_memory(memory), memory, mask)

    def forward(
        self, query: Float[Tensor, "N D"], source: AlignmentSource
    ) -> tuple[Float[Tensor, "N E"], Float[Tensor, "N S"]]:
        """Return the context that a query gathers from the source, and its weights."""
        if self.by_query is None or self.weight is None:
            scores = product_scores(query, source.keys)
        else:
            scores = additive_scores(self.by_query(query), source.keys, self.weight)
        return gather(scores, source.values, source.mask)

"""Queries, keys, values and masks to attend with."""

import torch
from torch import Tensor

from attento.nn.masks import causal_mask, padding_mask

# Rows, heads, queries, keys, width of a key, width of a value.
B, H, T, S, K, E = 2, 3, 5, 7, 11, 13


def draw_mask(kind: str) -> Tensor | None:
    match kind:
        case "padding":
            return padding_mask(torch.arange(S) < torch.tensor([[3], [7]]))
        case "causal":
            return causal_mask(T, S)
        case "free":
            mask = torch.rand(B, H, T, S) < 0.4
            # Queries with nothing to attend to: one in the middle, and a whole head.
            mask[0, 1, 2] = False
            mask[1, 2] = False
            return mask
    return None


def draw(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, dtype=dtype, requires_grad=True)

"""Which position may attend to which. Masks are Boolean and True means "may be attended to"."""

import torch
from jaxtyping import Bool
from torch import Tensor


def padding_mask(mask: Bool[Tensor, "B S"]) -> Bool[Tensor, "B 1 1 S"]:
    """Let every head and every query look at the real tokens of a padded batch, and at nothing else."""
    return mask[:, None, None, :]


def causal_mask(
    queries: int, keys: int, device: torch.device | None = None, window: int | None = None
) -> Bool[Tensor, "T S"]:
    """Let each query look at itself and at what came before (Vaswani et al. 2017, section 3.2.3).

    The queries are the last ones of the keys' positions: with cached keys the mask is rectangular. With a `window` a
    query sees itself and the `window - 1` keys before it (Beltagy et al. 2020, section 3.1).
    """
    mask = torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)
    return mask if window is None else mask.triu(keys - queries - window + 1)


def window_mask(length: int, window: int, device: torch.device | None = None) -> Bool[Tensor, "T S"]:
    """Let each query look at itself and at the `window - 1` keys to either side (Beltagy et al. 2020, section 3.1)."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril(window - 1).triu(1 - window)

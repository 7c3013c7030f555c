"""Tokens to vectors (Vaswani et al. 2017, section 3.4)."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


class TokenEmbedding(nn.Module):
    """A matrix of token vectors: multiplied by sqrt(d_model) on the way in; where tied, used as it is on the way out.

    Entries start as N(0, 1/d_model), so that a scaled embedding has unit variance and first logits are moderate. The
    heirs leave the factor out (`scaled=False`).
    """

    def __init__(self, vocab_size: int, d_model: int, scaled: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab_size, d_model))
        self.scale = math.sqrt(d_model) if scaled else 1.0
        nn.init.normal_(self.weight, std=d_model**-0.5)

    def forward(self, ids: Int[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
        """Look tokens up and scale them."""
        return F.embedding(ids, self.weight) * self.scale

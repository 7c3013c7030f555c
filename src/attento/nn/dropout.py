"""Dropout whose mask is drawn from 16 random bits an element instead of a random number an element."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

_STEPS = 1 << 16


class Dropout(nn.Module):
    """Zero each element with probability p while training and divide the rest by 1 - p (Srivastava et al. 2014).

    On a CPU drawing the random numbers is the dearest part of dropout, and 16 bits are enough: p is rounded to a
    multiple of 1/65536, and what is kept is divided by one minus the rounded p, so the mean stays exact.
    """

    def __init__(self, p: float) -> None:
        """Take the probability.

        Raises:
            ValueError: p is not in [0, 1), or so near to 1 that nothing would be kept.
        """
        super().__init__()
        self.dropped = round(p * _STEPS)
        if not 0 <= self.dropped < _STEPS:
            raise ValueError(f"`dropout` must be at least 0 and less than 1 - 1/131072, but got dropout={p}")

    def forward(self, hidden: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Drop elements when training; do nothing otherwise."""
        if not self.training or not self.dropped:
            return hidden
        return hidden * (random_mask(hidden.shape, self.dropped, hidden.device) * (_STEPS / (_STEPS - self.dropped)))


def random_mask(shape: torch.Size, dropped: int, device: torch.device) -> Bool[Tensor, "..."]:
    """Draw a mask that is False with probability dropped / 65536; four elements from each random 64-bit number."""
    numbers = torch.empty((shape.numel() + 3) // 4, dtype=torch.int64, device=device)
    numbers.random_(-(1 << 63), None)
    return (numbers.view(torch.int16)[: shape.numel()] >= dropped - (1 << 15)).view(shape)

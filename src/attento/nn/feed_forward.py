"""The position-wise feed-forward network (Vaswani et al. 2017, section 3.3)."""

from jaxtyping import Float
from torch import Tensor, nn


class FeedForward(nn.Module):
    """Two linear maps with a ReLU between, the same at every position: max(0, x W1 + b1) W2 + b2 (eq. 2)."""

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.inner = nn.Linear(d_model, d_ff)
        self.outer = nn.Linear(d_ff, d_model)

    def forward(self, hidden: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Transform each position by itself."""
        transformed: Tensor = self.outer(self.inner(hidden).relu())  # (B, L, D) -> (B, L, F) -> (B, L, D)
        return transformed

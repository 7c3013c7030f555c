"""The position-wise feed-forward network (Vaswani et al. 2017, section 3.3) and its gated forms (Shazeer 2020)."""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from attento.nn.names import Gated, Plain

_gelu_tanh = partial(F.gelu, approximate="tanh")
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": F.silu,
    "glu": F.sigmoid,
    "reglu": F.relu,
    "geglu": F.gelu,
    "geglu_tanh": _gelu_tanh,
    "swiglu": F.silu,
    "bilinear": lambda hidden: hidden,
}
"""What the inner vector, or the gate, goes through.

"gelu": Hendrycks & Gimpel 2016 (arXiv:1606.08415), x times the normal distribution's share below x; "gelu_tanh" is
their approximation of it by a tanh. "silu" is x sigmoid(x), the Swish of Ramachandran et al. 2017 with beta 1.
"""


class FeedForward(nn.Module):
    """Two linear maps with an activation between, the same at every position: max(0, x W1 + b1) W2 + b2 (eq. 2)."""

    def __init__(self, d_model: int, d_ff: int, activation: Plain = "relu", bias: bool = True) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.inner = nn.Linear(d_model, d_ff, bias)
        self.outer = nn.Linear(d_ff, d_model, bias)

    def forward(self, hidden: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Transform each position by itself."""
        transformed: Tensor = self.outer(self.activation(self.inner(hidden)))  # (B, L, D) -> (B, L, F) -> (B, L, D)
        return transformed


class GatedFeedForward(nn.Module):
    """The activation of one linear map gates another: (f(x W) * x V) W2 (Shazeer 2020, arXiv:2002.05202, eq. 5 and 6).

    A third matrix, so that `d_ff` is two thirds of a plain network's for as many parameters (section 3).
    """

    def __init__(self, d_model: int, d_ff: int, gate: Gated, bias: bool = True) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[gate]
        self.gate = nn.Linear(d_model, d_ff, bias)
        self.inner = nn.Linear(d_model, d_ff, bias)
        self.outer = nn.Linear(d_ff, d_model, bias)

    def forward(self, hidden: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Transform each position by itself."""
        transformed: Tensor = self.outer(self.activation(self.gate(hidden)) * self.inner(hidden))
        return transformed

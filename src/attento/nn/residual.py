"""The residual connection around every sublayer, with dropout and layer normalization in either order."""

from collections.abc import Callable
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from attento.nn.dropout import Dropout

NormOrder = Literal["post", "pre"]


class Residual(nn.Module):
    """Wrap a sublayer in dropout, addition and layer normalization.

    "post" is the paper's LayerNorm(x + Dropout(Sublayer(x))) (Vaswani et al. 2017, sections 3.1 and 5.4); "pre" is
    x + Dropout(Sublayer(LayerNorm(x))) (Xiong et al. 2020), whose stack needs one more normalization at its end.
    """

    def __init__(self, d_model: int, dropout: float, order: NormOrder) -> None:
        super().__init__()
        self.order = order
        self.norm = nn.LayerNorm(d_model)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        hidden: Float[Tensor, "B L D"],
        sublayer: Callable[[Float[Tensor, "B L D"]], Float[Tensor, "B L D"]],
    ) -> Float[Tensor, "B L D"]:
        """Add what the sublayer makes of `hidden` to `hidden`."""
        if self.order == "pre":
            added: Tensor = hidden + self.dropout(sublayer(self.norm(hidden)))
            return added
        normalized: Tensor = self.norm(hidden + self.dropout(sublayer(hidden)))
        return normalized

"""The residual connection around every sublayer, with dropout and normalization in either order."""

from collections.abc import Callable

from jaxtyping import Bool, Float
from torch import Tensor, nn

from attento.nn.dropout import Dropout
from attento.nn.names import Normalization, NormOrder
from attento.nn.normalization import make_normalization


class Residual(nn.Module):
    """Wrap a sublayer in dropout, addition and normalization.

    "post" is the paper's LayerNorm(x + Dropout(Sublayer(x))) (Vaswani et al. 2017, sections 3.1 and 5.4); "pre" is
    x + Dropout(Sublayer(LayerNorm(x))) (Xiong et al. 2020), whose stack needs one more normalization at its end.
    """

    def __init__(
        self,
        d_model: int,
        dropout: float,
        order: NormOrder,
        normalization: Normalization = "layer",
        connected: bool = True,
        epsilon: float = 1e-5,
    ) -> None:
        """Make the wrapping.

        Args:
            d_model: width of what comes in and goes out.
            dropout: probability that an element of what the sublayer makes is dropped.
            order: whether normalization comes after the addition or before the sublayer.
            normalization: over each vector, with its mean or without, or over each feature of the batch.
            connected: whether there is an addition: without it, only what the sublayer makes goes on.
            epsilon: what keeps the normalization from 0 / 0.
        """
        super().__init__()
        self.order, self.connected = order, connected
        self.norm = make_normalization(normalization, d_model, epsilon)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        hidden: Float[Tensor, "B L D"],
        sublayer: Callable[[Float[Tensor, "B L D"]], Float[Tensor, "B L D"]],
        real: Bool[Tensor, "B L"] | None = None,
    ) -> Float[Tensor, "B L D"]:
        """Add what the sublayer makes of `hidden` to `hidden`; `real` places count in a batch's statistics."""
        if self.order == "pre":
            return self._add(hidden, sublayer(self.norm(hidden, real)))
        normalized: Tensor = self.norm(self._add(hidden, sublayer(hidden)), real)
        return normalized

    def _add(self, hidden: Float[Tensor, "B L D"], made: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        dropped: Tensor = self.dropout(made)
        return hidden + dropped if self.connected else dropped


class LeftOut(nn.Module):
    """In the place of a residual whose sublayer is left out: nothing happens to what goes through."""

    def forward(
        self,
        hidden: Float[Tensor, "B L D"],
        sublayer: Callable[[Float[Tensor, "B L D"]], Float[Tensor, "B L D"]],
        real: Bool[Tensor, "B L"] | None = None,
    ) -> Float[Tensor, "B L D"]:
        """Return what came in."""
        return hidden

"""Normalization of hidden vectors: by each vector alone (layer, rms), or by each feature over a batch (batch)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attento.nn.names import Normalization


class LayerNormalization(nn.LayerNorm):
    """Give each vector mean 0 and variance 1, then a gain and a bias (Ba et al. 2016, eq. 3 and 4)."""

    def forward(self, input: Float[Tensor, "B L D"], real: Bool[Tensor, "B L"] | None = None) -> Float[Tensor, "B L D"]:
        """Normalize each place by itself; which places are real makes no difference."""
        return super().forward(input)


class RMSNormalization(nn.Module):
    """Give each vector a root mean square of 1, then a gain: no mean is taken away and no bias added.

    Zhang & Sennrich 2019, "Root mean square layer normalization" (arXiv:1910.07467), eq. 4.
    """

    def __init__(self, d_model: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(d_model))

    def forward(
        self, hidden: Float[Tensor, "B L D"], real: Bool[Tensor, "B L"] | None = None
    ) -> Float[Tensor, "B L D"]:
        """Normalize each place by itself, in float32 at least; which places are real makes no difference."""
        fine = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
        scaled = fine * (fine.square().mean(dim=-1, keepdim=True) + self.epsilon).rsqrt()
        return scaled.to(hidden.dtype) * self.weight


class BatchNormalization(nn.Module):
    """Give each feature mean 0 and variance 1 over all places of a batch, then a gain and a bias.

    Ioffe & Szegedy 2015, algorithms 1 and 2. Training uses the batch's own mean and variance, so that a row's result
    depends on its neighbours, and in a decoder on words that are yet to come. Evaluation uses running averages, and
    there each place stands for itself. Only real places count where they are told; a decoder is not told which places
    of the target are padding, so in a decoder padding counts too.

    The running averages are buffers, changed in place by every training pass. In training by several processes each
    keeps those of its own rows.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, d_model: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))
        self.register_buffer("running_mean", torch.zeros(d_model))
        self.register_buffer("running_variance", torch.ones(d_model))

    def forward(
        self, hidden: Float[Tensor, "B L D"], real: Bool[Tensor, "B L"] | None = None
    ) -> Float[Tensor, "B L D"]:
        """Normalize each feature; statistics are in float32 at least."""
        fine = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
        if self.training:
            mean, variance = self._measure(fine, real)
        else:
            mean, variance = self.running_mean, self.running_variance
        normalized = (fine - mean) * (variance + self.epsilon).rsqrt()
        return normalized.to(hidden.dtype) * self.weight + self.bias

    def _measure(
        self, hidden: Float[Tensor, "B L D"], real: Bool[Tensor, "B L"] | None
    ) -> tuple[Float[Tensor, " D"], Float[Tensor, " D"]]:
        counts = hidden.new_ones(hidden.shape[:2]) if real is None else real.to(hidden.dtype)
        count = counts.sum().clamp(min=1)
        # As products: places picked by a mask would be a tensor of unknown size, and the device would be waited for.
        mean = torch.einsum("bl,bld->d", counts, hidden) / count
        variance = torch.einsum("bl,bld->d", counts, (hidden - mean).square()) / count
        with torch.no_grad():
            _move(self.running_mean, mean, self.momentum)
            _move(self.running_variance, variance * count / (count - 1).clamp(min=1), self.momentum)
        return mean, variance


def _move(average: Float[Tensor, " D"], latest: Float[Tensor, " D"], momentum: float) -> None:
    # A step that overflows is left out by the training loop; here too it must leave no trace.
    latest = torch.where(latest.isfinite(), latest.to(average.dtype), average)
    average.lerp_(latest, momentum)


class NoNormalization(nn.Module):
    """Leave everything as it is."""

    def forward(
        self, hidden: Float[Tensor, "B L D"], real: Bool[Tensor, "B L"] | None = None
    ) -> Float[Tensor, "B L D"]:
        """Return what came in."""
        return hidden


def make_normalization(kind: Normalization, d_model: int, epsilon: float = 1e-5) -> nn.Module:
    """Make a normalization whose gain is 1 and whose bias, if it has one, is 0; `epsilon` keeps it from 0 / 0."""
    match kind:
        case "layer":
            return LayerNormalization(d_model, epsilon)
        case "rms":
            return RMSNormalization(d_model, epsilon)
        case "batch":
            return BatchNormalization(d_model, epsilon=epsilon)


@contextmanager
def unchanged_statistics(module: nn.Module) -> Iterator[None]:
    """Give the buffers of a module back the values that they had, whatever it computes in between."""
    saved = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, values in saved:
            buffer.copy_(values)

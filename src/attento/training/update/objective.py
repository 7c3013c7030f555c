"""What a step minimizes, as one module: whatever wraps modules, to compute on several devices, can wrap it."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from attento.data.batching import Batch
from attento.errors import ConfigError
from attento.models.base import EncoderDecoder
from attento.shapes import Hidden
from attento.training.update.loss import chunked_cross_entropy


class Objective(nn.Module):
    """The summed loss of a batch's target tokens."""

    def __init__(self, model: EncoderDecoder, label_smoothing: float, chunk_tokens: int) -> None:
        super().__init__()
        self.model = model
        self.label_smoothing = label_smoothing
        self.chunk_tokens = chunk_tokens

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the sum of all real target tokens' label-smoothed cross-entropies, in nats."""
        return self.loss(self.features(batch), batch)

    def features(self, batch: Batch) -> Hidden:
        """Run the model, under teacher forcing, up to the vectors that predict each next target token."""
        memory = self.model.encode(batch.source, batch.source_mask)
        features, _ = self.model.features(batch.target_input, self.model.start(memory))
        return features

    def loss(self, features: Hidden, batch: Batch) -> Float[Tensor, ""]:
        """Compute the summed loss from the vectors of `features`."""
        return chunked_cross_entropy(
            features[batch.target_mask],  # (B, T, D) -> (N, D)
            *self.model.output_layer(),
            batch.target_output[batch.target_mask],
            smoothing=self.label_smoothing,
            chunk_tokens=self.chunk_tokens,
        )


@runtime_checkable
class Recomputing(Protocol):
    """A model that can forget what its layers compute inside, and compute it again in the backward pass."""

    recompute: bool


def recompute_activations(model: nn.Module) -> None:
    """Let a model keep little more than each layer's input for the backward pass (Chen et al. 2016).

    Raises:
        ConfigError: the model cannot do that.
    """
    if not isinstance(model, Recomputing):
        raise ConfigError(f"`training.activation_checkpointing` is not for a {type(model).__name__}; set it to false")
    model.recompute = True

"""What a step minimizes, as one module: whatever wraps modules, to compute on several devices, can wrap it."""

from abc import ABC, abstractmethod
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attento.data.batches import TrainingBatch
from attento.errors import ConfigError
from attento.models.base import Decoder, MaskedLanguageModel
from attento.shapes import Hidden
from attento.training.update.loss import chunked_cross_entropy

BatchT = TypeVar("BatchT", bound=TrainingBatch)
ModelT = TypeVar("ModelT", bound=nn.Module)
TellerT = TypeVar("TellerT", bound=Decoder | MaskedLanguageModel)


class Objective(nn.Module, ABC, Generic[ModelT, BatchT]):
    """The summed loss of all that a batch wants predicted, in nats."""

    model: ModelT

    def __init__(self, model: ModelT) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: BatchT) -> Float[Tensor, ""]:
        """Compute the summed loss."""
        return self.loss(self.features(batch), batch)

    @abstractmethod
    def features(self, batch: BatchT) -> Any:
        """Run the model up to what the loss is computed from."""

    @abstractmethod
    def loss(self, features: Any, batch: BatchT) -> Float[Tensor, ""]:
        """Compute the summed loss from what `features` returned."""


class TokenObjective(Objective[TellerT, BatchT]):
    """The summed label-smoothed cross-entropy of all tokens to tell, its logits never whole in memory."""

    def __init__(self, model: TellerT, label_smoothing: float, chunk_tokens: int) -> None:
        super().__init__(model)
        self.label_smoothing = label_smoothing
        self.chunk_tokens = chunk_tokens

    def token_loss(self, features: Hidden, output: Int[Tensor, "B L"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, ""]:
        """Compute the summed loss of the tokens that the mask leaves, each predicted by its feature vector."""
        return chunked_cross_entropy(
            features[mask],  # (B, L, D) -> (N, D)
            *self.model.output_layer(),
            output[mask],
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

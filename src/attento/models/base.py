"""What every translation model is to the loop and to the search: encode, start, decode.

`start` makes the state in which nothing is decoded yet; `decode` goes on from a state by any number of tokens. A whole
target from a fresh state is teacher forcing, one token at a time is search: one road for both.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from attento.nn.state import DecoderState, select_rows
from attento.shapes import Hidden, Logits, SourceIds, SourceMask, TargetIds


@dataclass(frozen=True)
class Memory:
    """What the encoder made of the source: a vector a token, and which of them are real."""

    hidden: Float[Tensor, "B S D"]
    mask: SourceMask

    def select(self, indices: Int[Tensor, " N"]) -> "Memory":
        """Return a memory whose row i is this one's row `indices[i]`."""
        return select_rows(self, indices)


class EncoderDecoder(nn.Module, ABC):
    """A model that reads a source and writes a target."""

    d_model: int
    source_vocab_size: int
    target_vocab_size: int
    max_source_length: int | None
    max_target_length: int | None

    @abstractmethod
    def encode(self, source: SourceIds, source_mask: SourceMask) -> Memory:
        """Read the whole source at once."""

    @abstractmethod
    def start(self, memory: Memory) -> DecoderState:
        """Return the state in which nothing is decoded yet; it holds all that decoding needs of the memory."""

    @abstractmethod
    def features(self, target: TargetIds, state: DecoderState) -> tuple[Hidden, DecoderState]:
        """Decode some more tokens; return the vectors that predict the token after each, and the state after them."""

    @abstractmethod
    def output_layer(self) -> tuple[Float[Tensor, "V D"], Float[Tensor, " V"] | None]:
        """Return weight and bias of the linear map from feature vectors to logits.

        Apart from `features`, so that a large vocabulary's logits need never stand in memory all at once.
        """

    def project(self, features: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """Turn feature vectors into logits over the target vocabulary."""
        return F.linear(features, *self.output_layer())

    def decode(self, target: TargetIds, state: DecoderState) -> tuple[Logits, DecoderState]:
        """Decode some more tokens; return the logits of the token after each, and the state after them."""
        features, state = self.features(target, state)
        return self.project(features), state

"""What every model is to the loop and to the search: one contract for each task.

A model that writes has a state and two verbs: `start` makes the state in which nothing is decoded yet, `decode` goes on
from a state by any number of tokens. A whole target from a fresh state is teacher forcing, one token at a time is
search: one road for both. `EncoderDecoder` starts from a source that it has read, `LanguageModel` from nothing. A
`Classifier` writes nothing: sentences in, a score for each class out; a `MaskedLanguageModel` tells the tokens that are
hidden in a text.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from attento.nn.state import DecoderState, select_rows
from attento.shapes import Hidden, Logits, SourceIds, SourceMask, TargetIds, TokenIds, TokenMask


class Decoder(nn.Module, ABC):
    """What writes tokens: vectors that predict, and a linear map from them to logits."""

    d_model: int

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


@dataclass(frozen=True)
class Memory:
    """What the encoder made of the source: a vector a token, and which of them are real. A model may add to it."""

    hidden: Float[Tensor, "B S D"]
    mask: SourceMask

    def select(self, indices: Int[Tensor, " N"]) -> "Memory":
        """Return a memory whose row i is this one's row `indices[i]`."""
        return select_rows(self, indices)


class EncoderDecoder(Decoder):
    """A model that reads a source and writes a target."""

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


class LanguageModel(nn.Module, ABC):
    """A model that tells how probable each next token of a text is."""

    vocab_size: int
    max_length: int | None
    """The most tokens that it can read from a fresh state; None where there is no limit."""

    @abstractmethod
    def start(self, rows: int) -> DecoderState:
        """Return the state of so many texts of which nothing is read yet, on the device of the model."""

    @abstractmethod
    def decode(self, target: TargetIds, state: DecoderState) -> tuple[Logits, DecoderState]:
        """Read some more tokens; return the logits of the token after each, and the state after them."""


class NeuralLanguageModel(Decoder, LanguageModel):
    """A language model with weights that a gradient changes."""


@dataclass(frozen=True)
class Sentences:
    """A batch of padded sentences, and which of their tokens are real."""

    ids: TokenIds
    mask: TokenMask


class Classifier(nn.Module, ABC):
    """A model that gives a sentence, or a pair of sentences, one of some labels."""

    d_model: int
    vocab_size: int
    num_classes: int
    max_length: int | None
    """The most tokens that a sentence may have; None where there is no limit."""
    num_sentences: int
    """How many sentences stand in one example: 1, or 2 for a pair."""

    @abstractmethod
    def score(self, sentences: Sequence[Sentences]) -> tuple[Float[Tensor, "B C"], Float[Tensor, " B"]]:
        """Return the logits of the classes, and for each row what training adds to its loss (zeros in most models).

        Args:
            sentences: `num_sentences` batches of as many rows; row i of each belongs to example i.
        """

    def forward(self, sentences: Sequence[Sentences]) -> Float[Tensor, "B C"]:
        """Return the logits of the classes."""
        return self.score(sentences)[0]


class MaskedLanguageModel(nn.Module, ABC):
    """A model that reads a text both ways and tells how probable each token is where one is hidden."""

    d_model: int
    vocab_size: int
    max_length: int | None
    """The most tokens that it can read at once; None where there is no limit."""

    @abstractmethod
    def features(self, sentences: Sentences) -> Hidden:
        """Return the vectors that tell the token at each place."""

    @abstractmethod
    def output_layer(self) -> tuple[Float[Tensor, "V D"], Float[Tensor, " V"] | None]:
        """Return weight and bias of the linear map from feature vectors to logits."""

    @abstractmethod
    def embed(self, sentences: Sentences) -> Float[Tensor, "B D"]:
        """Make one vector of each sentence."""

    def forward(self, sentences: Sentences) -> Float[Tensor, "B L V"]:
        """Return the logits of the token at each place."""
        return F.linear(self.features(sentences), *self.output_layer())

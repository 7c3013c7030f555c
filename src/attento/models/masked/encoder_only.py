"""A model that reads a text both ways, tells the tokens that are hidden in it, and makes one vector of a sentence.

Devlin et al. 2019, "BERT: Pre-training of deep bidirectional Transformers for language understanding"
(arXiv:1810.04805), section 3; the mean as a sentence's vector is Reimers & Gurevych 2019, "Sentence-BERT"
(arXiv:1908.10084), section 3.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from attento.models.base import MaskedLanguageModel, Sentences
from attento.models.layers import draw_linear
from attento.models.masked.config import MaskedEncoderConfig
from attento.models.sentence_reader import SentenceReader, mean_of_real
from attento.nn.normalization import make_normalization
from attento.shapes import Hidden


class MaskedEncoder(MaskedLanguageModel):
    """A Transformer's encoder, a small head over it that tells hidden tokens, and a way to one vector a sentence."""

    def __init__(self, config: MaskedEncoderConfig, vocab_size: int) -> None:
        """Make the model with freshly drawn weights."""
        super().__init__()
        self.vocab_size, self.d_model, self.pooling = vocab_size, config.d_model, config.pooling
        self.reader = SentenceReader(config, config.layers, vocab_size, config.segments)
        self.max_length = self.reader.max_length
        self.head = PredictionHead(config, vocab_size) if config.head else None
        self.pooler = nn.Linear(config.d_model, config.d_model) if config.pooling == "tanh" else None
        if self.pooler is not None:
            draw_linear(self.pooler)
        self.recompute = False
        """Whether training forgets what each layer computes inside, and computes it again in the backward pass."""

    def features(self, sentences: Sentences) -> Hidden:
        """Return the vectors that tell the token at each place (Devlin et al. 2019, section 3.1, task 1).

        Raises:
            ValueError: the model has no head.
        """
        if self.head is None:
            raise ValueError("this model makes vectors of sentences; it was made without a head that tells tokens")
        features: Tensor = self.head(self.reader(sentences.ids, sentences.mask, recompute=self.recompute))
        return features

    def output_layer(self) -> tuple[Float[Tensor, "V D"], Float[Tensor, " V"] | None]:
        """Score every token by its product with its vector of the input, and a number of its own."""
        return self.reader.embedding.weight, None if self.head is None else self.head.bias

    def embed(self, sentences: Sentences) -> Float[Tensor, "B D"]:
        """Make one vector of each sentence, as `pooling` says (Reimers & Gurevych 2019, section 3)."""
        hidden = self.reader(sentences.ids, sentences.mask)
        if self.pooling == "mean":
            return mean_of_real(hidden, sentences.mask)
        first: Tensor = hidden[:, 0]
        return first if self.pooler is None else self.pooler(first).tanh()


class PredictionHead(nn.Module):
    """A linear map, a GELU and a normalization, before the product with the matrix of tokens (the released code)."""

    def __init__(self, config: MaskedEncoderConfig, vocab_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(config.d_model, config.d_model)
        self.norm = make_normalization(config.normalization, config.d_model, config.norm_epsilon)
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        draw_linear(self.linear)

    def forward(self, hidden: Hidden) -> Hidden:
        """Turn what was read into what predicts."""
        predicting: Tensor = self.norm(F.gelu(self.linear(hidden)))
        return predicting

"""The matrices of token vectors that every language model with weights has: one for input and output, or two.

One for both is Press & Wolf 2017, "Using the output embedding to improve language models" (arXiv:1608.05859).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attento.models.base import NeuralLanguageModel
from attento.models.language.config import NeuralConfig
from attento.nn.embedding import TokenEmbedding


class TiedLanguageModel(NeuralLanguageModel):
    """A language model whose input and output have one matrix or two (`tied_embeddings`)."""

    def __init__(
        self,
        config: NeuralConfig,
        vocab_size: int,
        d_output: int | None = None,
        *,
        scaled: bool = True,
        output_bias: bool = False,
    ) -> None:
        """Draw the matrices.

        Args:
            config: its `d_model` is the width of the vectors that go in.
            vocab_size: how many tokens there are.
            d_output: the width of the vectors that predict; `d_model` if None, and where one matrix serves for both.
            scaled: whether token vectors are multiplied by sqrt(d_model) on the way in.
            output_bias: whether each token's logit has a number of its own added.
        """
        super().__init__()
        self.vocab_size, self.d_model = vocab_size, d_output or config.d_model
        self.embedding = TokenEmbedding(vocab_size, config.d_model, scaled)
        # None where the input's matrix serves: a tied matrix has one name in the file of weights.
        self.output_embedding = None if config.tied_embeddings else TokenEmbedding(vocab_size, self.d_model)
        self.output_bias = nn.Parameter(torch.zeros(vocab_size)) if output_bias else None

    def output_layer(self) -> tuple[Float[Tensor, "V D"], Float[Tensor, " V"] | None]:
        """Score every token by its product with its vector (the input's, where tied)."""
        return (self.output_embedding or self.embedding).weight, self.output_bias

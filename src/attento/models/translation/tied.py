"""The matrices of token vectors that every translation model has, and which of them are one.

Press & Wolf 2017, "Using the output embedding to improve language models" (arXiv:1608.05859): the output's matrix may
be the target's, and with a joint vocabulary the source's as well (their three-way weight tying).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attento.models.base import EncoderDecoder
from attento.models.translation.config import TranslationConfig
from attento.nn.embedding import TokenEmbedding
from attento.shapes import Hidden, SourceIds


class TiedEncoderDecoder(EncoderDecoder):
    """An encoder-decoder whose source, target and output have one, two or three matrices (`tied_embeddings`)."""

    def __init__(
        self,
        config: TranslationConfig,
        source_vocab_size: int,
        target_vocab_size: int,
        *,
        scaled: bool = True,
        output_bias: bool = False,
    ) -> None:
        """Draw the matrices.

        Args:
            config: which matrices are one, and how wide.
            source_vocab_size: how many tokens a source can have.
            target_vocab_size: how many tokens a target can have.
            scaled: whether token vectors are multiplied by sqrt(d_model) on the way in.
            output_bias: whether each target token's logit has a number of its own added.

        Raises:
            ValueError: one matrix for all (`tied_embeddings: all`) is asked for, but the vocabularies differ in size.
        """
        super().__init__()
        if config.tied_embeddings == "all" and source_vocab_size != target_vocab_size:
            raise ValueError(
                "`model.tied_embeddings: all` needs one joint vocabulary, but the source has "
                f"{source_vocab_size} tokens and the target {target_vocab_size}; set it to `target` or `none`, "
                "or `data.tokenizer.joint: true`"
            )
        self.source_vocab_size, self.target_vocab_size = source_vocab_size, target_vocab_size
        self.d_model = d_model = config.d_model
        self.target_embedding = TokenEmbedding(target_vocab_size, d_model, scaled)
        # None where the target's matrix serves: a tied matrix has one name in the file of weights.
        tied = config.tied_embeddings
        self.source_embedding = None if tied == "all" else TokenEmbedding(source_vocab_size, d_model, scaled)
        self.output_embedding = TokenEmbedding(target_vocab_size, d_model) if tied == "none" else None
        self.output_bias = nn.Parameter(torch.zeros(target_vocab_size)) if output_bias else None

    def embed_source(self, source: SourceIds) -> Hidden:
        """Look the source's tokens up in its matrix, or in the target's where that serves."""
        embedded: Tensor = (self.source_embedding or self.target_embedding)(source)
        return embedded

    def output_layer(self) -> tuple[Float[Tensor, "V D"], Float[Tensor, " V"] | None]:
        """Score every target token by its product with its vector (the input's, where tied)."""
        return (self.output_embedding or self.target_embedding).weight, self.output_bias

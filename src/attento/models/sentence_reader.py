"""A Transformer's encoder over a sentence, or over a few sentences one after the other, as BERT reads them.

Devlin et al. 2019, "BERT: Pre-training of deep bidirectional Transformers for language understanding"
(arXiv:1810.04805), section 3; the layers are those of Vaswani et al. 2017. Knows no task: what is made of the vectors
is for the models that hold one.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attento.models.layers import (
    EncoderLayer,
    draw_linear,
    encode_through,
    make_embedding,
    make_embedding_norm,
    make_last_norm,
    make_positions,
    make_relations,
)
from attento.models.stack_config import StackConfig
from attento.nn.dropout import Dropout
from attento.nn.positions import add_positions
from attento.shapes import Hidden, TokenIds, TokenMask


class SentenceReader(nn.Module):
    """Tokens to vectors that have seen each other."""

    def __init__(self, config: StackConfig, layers: int, vocab_size: int, segments: int = 1) -> None:
        """Make the stack with freshly drawn weights.

        Args:
            config: what its layers are.
            layers: how many there are.
            vocab_size: how many tokens there are.
            segments: how many sentences are told apart by a vector that is added to their tokens'; 1 adds none.
        """
        super().__init__()
        self.embedding = make_embedding(config, vocab_size)
        self.segment_embedding = make_embedding(config, segments) if segments > 1 else None
        self.positions = make_positions(config)
        self.relations = make_relations(config, both_ways=True)
        self.max_length = self.positions.max_length
        self.embedding_norm = make_embedding_norm(config)
        self.dropout = Dropout(config.dropout)
        self.sliding_window = config.sliding_window
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(layers))
        self.last_norm = make_last_norm(config)
        self.apply(draw_linear)

    def forward(
        self, ids: TokenIds, real: TokenMask, segments: Int[Tensor, "B L"] | None = None, *, recompute: bool = False
    ) -> Hidden:
        """Read sentences.

        Args:
            ids: the tokens.
            real: which of them are no padding.
            segments: which sentence each token is of; the first if None.
            recompute: whether training forgets what each layer computes inside, and computes it again.
        """
        hidden = self.embedding(ids)
        if self.segment_embedding is not None:
            hidden = hidden + self.segment_embedding(torch.zeros_like(ids) if segments is None else segments)
        hidden = self.embedding_norm(add_positions(hidden, self.positions(0, ids.size(1))), real)
        hidden = encode_through(
            self.layers,
            self.dropout(hidden),
            real,
            self.relations,
            window=self.sliding_window,
            recompute=recompute,
        )
        read: Tensor = self.last_norm(hidden, real)
        return read


def mean_of_real(hidden: Hidden, real: Bool[Tensor, "B L"]) -> Float[Tensor, "B D"]:
    """Return the mean vector of the real tokens, summed in float32 at least; zeros where there is none."""
    fine = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
    total = fine.masked_fill(~real[:, :, None], 0).sum(1)  # (B, L, D) -> (B, D)
    return (total / real.sum(1, keepdim=True).clamp(min=1)).to(hidden.dtype)

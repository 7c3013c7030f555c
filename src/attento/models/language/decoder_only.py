"""A language model that is the Transformer's decoder without a source.

Radford et al. 2018, "Improving language understanding by generative pre-training"; the layers are those of Vaswani et
al. 2017 (arXiv:1706.03762) without their attention to a source.
"""

from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor, nn

from attento.models.language.config import DecoderOnlyConfig
from attento.models.language.tied import TiedLanguageModel
from attento.models.layers import (
    DecoderLayer,
    LayerState,
    decode_through,
    draw_linear,
    make_embedding_norm,
    make_last_norm,
    make_positions,
    make_relations,
)
from attento.nn.dropout import Dropout
from attento.nn.positions import add_positions
from attento.nn.state import DecoderState, expect_state, select_rows
from attento.shapes import Hidden, TargetIds


@dataclass(frozen=True)
class DecoderOnlyState:
    """The text so far: every layer's keys and values, and how many tokens were read."""

    layers: tuple[LayerState, ...]
    length: int

    def select(self, indices: Int[Tensor, " N"]) -> "DecoderOnlyState":
        """Return a state whose row i is this state's row `indices[i]`."""
        return select_rows(self, indices)


class DecoderOnly(TiedLanguageModel):
    """A stack of masked self-attention: each token's vector, made of itself and all before it, predicts the next."""

    def __init__(self, config: DecoderOnlyConfig, vocab_size: int) -> None:
        """Make the model with freshly drawn weights."""
        super().__init__(config, vocab_size, scaled=config.scale_embeddings, output_bias=config.output_bias)
        self.positions = make_positions(config)
        self.max_length = self.positions.max_length
        self.relations = make_relations(config, both_ways=False)
        self.embedding_norm = make_embedding_norm(config)
        self.sliding_window = config.sliding_window
        self.dropout = Dropout(config.dropout)
        self.decoder = nn.ModuleList(DecoderLayer(config, reads_source=False) for _ in range(config.layers))
        self.decoder_norm = make_last_norm(config)
        self.recompute = False
        """Whether training forgets what each layer computes inside, and computes it again in the backward pass."""
        self.apply(draw_linear)

    def start(self, rows: int) -> DecoderOnlyState:
        """Return a state without keys and values: as yet it is the same for any number of rows."""
        return DecoderOnlyState((LayerState(None, None),) * len(self.decoder), length=0)

    def features(self, target: TargetIds, state: DecoderState) -> tuple[Hidden, DecoderOnlyState]:
        """Read some more tokens by masked self-attention (Vaswani et al. 2017, section 3.2.3)."""
        state = expect_state(state, DecoderOnlyState)
        positions = self.positions(state.length, target.size(1))
        hidden = self.dropout(self.embedding_norm(add_positions(self.embedding(target), positions)))
        hidden, layers = decode_through(
            self.decoder,
            hidden,
            state.layers,
            state.length,
            self.relations,
            window=self.sliding_window,
            recompute=self.recompute,
        )
        return self.decoder_norm(hidden), DecoderOnlyState(layers, state.length + target.size(1))

"""The Transformer of "Attention Is All You Need" (Vaswani et al. 2017, arXiv:1706.03762), in reading order.

Its layers stand in `models.layers`. What the paper's model has can be taken out by settings, one piece at a time, to
see what each is for: see `StackConfig`.
"""

from dataclasses import dataclass

from jaxtyping import Bool, Int
from torch import Tensor, nn

from attento.models.base import Memory
from attento.models.layers import (
    DecoderLayer,
    EncoderLayer,
    LayerState,
    decode_through,
    draw_linear,
    encode_through,
    make_embedding_norm,
    make_last_norm,
    make_positions,
    make_relations,
)
from attento.models.translation.config import TransformerStacksConfig
from attento.models.translation.tied import TiedEncoderDecoder
from attento.nn.dropout import Dropout
from attento.nn.positions import add_positions
from attento.nn.state import DecoderState, expect_state, select_rows
from attento.shapes import Hidden, SourceIds, SourceMask, TargetIds


@dataclass(frozen=True)
class TransformerState:
    """The decoder between two steps: every layer's keys and values, and how many tokens it has seen."""

    layers: tuple[LayerState, ...]
    source_mask: Bool[Tensor, "N S"]
    length: int

    def select(self, indices: Int[Tensor, " N"]) -> "TransformerState":
        """Return a state whose row i is this state's row `indices[i]`."""
        return select_rows(self, indices)


class Transformer(TiedEncoderDecoder):
    """An encoder that reads by self-attention and a decoder that writes by attending to itself and to the source."""

    def __init__(self, config: TransformerStacksConfig, source_vocab_size: int, target_vocab_size: int) -> None:
        """Make the model with freshly drawn weights; refuse what `TiedEncoderDecoder` refuses."""
        super().__init__(
            config,
            source_vocab_size,
            target_vocab_size,
            scaled=config.scale_embeddings,
            output_bias=config.output_bias,
        )
        self.source_positions, self.target_positions = make_positions(config), make_positions(config)
        self.max_source_length = self.source_positions.max_length
        self.max_target_length = self.target_positions.max_length
        self.source_relations = make_relations(config, both_ways=True)
        self.target_relations = make_relations(config, both_ways=False)
        self.source_norm, self.target_norm = make_embedding_norm(config), make_embedding_norm(config)
        self.sliding_window = config.sliding_window
        self.dropout = Dropout(config.dropout)
        self.encoder = nn.ModuleList(self.make_encoder_layer(config) for _ in range(config.encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.encoder_norm, self.decoder_norm = make_last_norm(config), make_last_norm(config)
        self.recompute = False
        """Whether training forgets what each layer computes inside, and computes it again in the backward pass."""
        self.apply(draw_linear)

    @staticmethod
    def make_encoder_layer(config: TransformerStacksConfig) -> nn.Module:
        """Make a layer that reads."""
        return EncoderLayer(config)

    def encode(self, source: SourceIds, source_mask: SourceMask) -> Memory:
        """Read the source by a stack of self-attention layers (section 3.1, Encoder)."""
        hidden = add_positions(self.embed_source(source), self.source_positions(0, source.size(1)))
        hidden = encode_through(
            self.encoder,
            self.dropout(self.source_norm(hidden, source_mask)),
            source_mask,
            self.source_relations,
            window=self.sliding_window,
            recompute=self.recompute,
        )
        return Memory(self.encoder_norm(hidden, source_mask), source_mask)

    def start(self, memory: Memory) -> TransformerState:
        """Project the source's keys and values once, for every layer."""
        layers = []
        for layer in self.decoder:
            assert isinstance(layer, DecoderLayer)
            layers.append(layer.start(memory.hidden))
        return TransformerState(tuple(layers), memory.mask, length=0)

    def features(self, target: TargetIds, state: DecoderState) -> tuple[Hidden, TransformerState]:
        """Decode by masked self-attention and attention to the source (section 3.1, Decoder)."""
        state = expect_state(state, TransformerState)
        positions = self.target_positions(state.length, target.size(1))
        hidden = self.target_norm(add_positions(self.target_embedding(target), positions))
        hidden, layers = decode_through(
            self.decoder,
            self.dropout(hidden),
            state.layers,
            state.length,
            self.target_relations,
            state.source_mask,
            window=self.sliding_window,
            recompute=self.recompute,
        )
        return self.decoder_norm(hidden), TransformerState(layers, state.source_mask, state.length + target.size(1))

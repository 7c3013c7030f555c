"""ConvS2S, the gated convolutions of Gehring et al. 2017 (arXiv:1705.03122), in reading order.

Simpler than the paper in three ways. Words, layers and attention share one width, `d_model`. Weights are not normalised
(Salimans & Kingma 2016), and the gradient that the decoder's attentions send into the encoder is not divided by their
number: both served gradient descent at a high rate, and Adam scales each weight's step by itself.
"""

import math
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attento.models.base import Memory
from attento.models.translation.config import ConvS2SConfig
from attento.models.translation.tied import TiedEncoderDecoder
from attento.nn.attention import attend
from attento.nn.convolution import CausalConvolution, SourceConvolution, draw_linear
from attento.nn.dropout import Dropout
from attento.nn.masks import padding_mask
from attento.nn.positions import LearnedPositions, add_positions
from attento.nn.state import DecoderState, KeyValues, expect_state, select_rows
from attento.shapes import Hidden, SourceIds, SourceMask, TargetIds

_HALF = math.sqrt(0.5)
"""Keeps the variance of a sum of two parts of equal variance (section 3.4)."""
_START = 0.1
"""Standard deviation that token and position vectors start with (section 3.5): a gate keeps the variance of little."""


@dataclass(frozen=True)
class ConvS2SMemory(Memory):
    """The encoder's outputs z_j (`hidden`) and what attention gathers: z_j + e_j, the source's own vectors added."""

    values: Float[Tensor, "B S D"]


@dataclass(frozen=True)
class ConvS2SState:
    """The decoder between two steps: every layer's window, the source, and how many tokens it has seen."""

    windows: tuple[Float[Tensor, "N _ D"], ...]
    source: KeyValues
    source_mask: Bool[Tensor, "N S"]
    length: int

    def select(self, indices: Int[Tensor, " N"]) -> "ConvS2SState":
        """Return a state whose row i is this state's row `indices[i]`."""
        return select_rows(self, indices)


class ConvS2S(TiedEncoderDecoder):
    """An encoder and a decoder of gated convolutions; every decoder layer attends to the source."""

    def __init__(self, config: ConvS2SConfig, source_vocab_size: int, target_vocab_size: int) -> None:
        """Make the model with freshly drawn weights; refuse what `TiedEncoderDecoder` refuses."""
        super().__init__(config, source_vocab_size, target_vocab_size)
        self.max_source_length: int | None = config.max_positions
        self.max_target_length: int | None = config.max_positions
        self.source_positions = LearnedPositions(config.d_model, config.max_positions)
        self.target_positions = LearnedPositions(config.d_model, config.max_positions)
        for positions in (self.source_positions, self.target_positions):
            nn.init.normal_(positions.weight)
        self.dropout = Dropout(config.dropout)
        self.encoder_input, self.encoder_output = _linear(config, dropped=True), _linear(config)
        self.decoder_input, self.decoder_output = _linear(config, dropped=True), _linear(config)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))

    def encode(self, source: SourceIds, source_mask: SourceMask) -> ConvS2SMemory:
        """Read the source by a stack of gated convolutions (section 3.2)."""
        positions = self.source_positions(0, source.size(1))
        embedded = self.dropout(add_positions(self.embed_source(source), positions) * _START)
        hidden = self.encoder_input(embedded)
        for layer in self.encoder:
            hidden = layer(hidden, source_mask)
        hidden = self.encoder_output(hidden)
        return ConvS2SMemory(hidden, source_mask, (hidden + embedded) * _HALF)

    def start(self, memory: Memory) -> ConvS2SState:
        """Return windows of zeros and the source, whose keys and values serve every layer alike (section 3.3)."""
        memory = expect_state(memory, ConvS2SMemory)
        windows = []
        for layer in self.decoder:
            assert isinstance(layer, DecoderLayer)
            windows.append(layer.convolution.start(memory.hidden.size(0)))
        source = KeyValues(memory.hidden[:, None], memory.values[:, None])  # (B, S, D) -> (B, 1, S, D)
        return ConvS2SState(tuple(windows), source, memory.mask, length=0)

    def features(self, target: TargetIds, state: DecoderState) -> tuple[Hidden, ConvS2SState]:
        """Decode by causal gated convolutions, each followed by attention to the source (sections 3.2 and 3.3)."""
        state = expect_state(state, ConvS2SState)
        positions = self.target_positions(state.length, target.size(1))
        embedded = self.dropout(add_positions(self.target_embedding(target), positions) * _START)
        hidden, windows = self.decoder_input(embedded), []
        for layer, window in zip(self.decoder, state.windows, strict=True):
            hidden, window = layer(hidden, embedded, window, state.source, state.source_mask)
            windows.append(window)
        features = self.decoder_output(self.dropout(hidden))
        return features, ConvS2SState(tuple(windows), state.source, state.source_mask, state.length + target.size(1))


class EncoderLayer(nn.Module):
    """A centred convolution and a gated linear unit (Dauphin et al. 2017, eq. 1) in a residual (section 3.2)."""

    def __init__(self, config: ConvS2SConfig) -> None:
        super().__init__()
        self.dropout = Dropout(config.dropout)
        d_model, variance = config.d_model, 4 * (1 - config.dropout)
        self.convolution = SourceConvolution(d_model, 2 * d_model, config.width, variance=variance)

    def forward(self, hidden: Float[Tensor, "B S D"], mask: Bool[Tensor, "B S"]) -> Float[Tensor, "B S D"]:
        """Read the source once more."""
        gated = F.glu(self.convolution(self.dropout(hidden), mask))  # (B, S, 2D) -> (B, S, D)
        return (hidden + gated) * _HALF


class DecoderLayer(nn.Module):
    """A causal convolution, a gated linear unit, then attention to the source, in a residual (sections 3.2, 3.3)."""

    def __init__(self, config: ConvS2SConfig) -> None:
        super().__init__()
        self.dropout = Dropout(config.dropout)
        d_model, variance = config.d_model, 4 * (1 - config.dropout)
        self.convolution = CausalConvolution(d_model, 2 * d_model, config.width, variance=variance)
        self.query = _linear(config)
        self.attention = SourceAttention()

    def forward(
        self,
        hidden: Float[Tensor, "N T D"],
        embedded: Float[Tensor, "N T D"],
        window: Float[Tensor, "N P D"],
        source: KeyValues,
        source_mask: Bool[Tensor, "N S"],
    ) -> tuple[Float[Tensor, "N T D"], Float[Tensor, "N P D"]]:
        """Decode some tokens; return them with the window after them."""
        convolved, window = self.convolution(self.dropout(hidden), window)
        gated = F.glu(convolved)  # (N, T, 2D) -> (N, T, D)
        query = (self.query(gated) + embedded) * _HALF  # d_i of eq. 1
        context = self.attention(query, source, source_mask)
        return (hidden + (gated + context) * _HALF) * _HALF, window


class SourceAttention(nn.Module):
    """What a decoder layer gathers from the source, by products that are not scaled (section 3.3, eq. 1 and 2)."""

    def forward(
        self, query: Float[Tensor, "N T D"], source: KeyValues, mask: Bool[Tensor, "N S"]
    ) -> Float[Tensor, "N T D"]:
        """Return the context of each query."""
        # `attend` divides scores by the root of the width, which the paper does not.
        query = query * math.sqrt(query.size(-1))
        context = attend(query[:, None], source.keys, source.values, padding_mask(mask))[:, 0]
        # A mean over m tokens has a m-th of their variance; m * sqrt(1/m) makes up for it (section 3.4).
        return context * mask.sum(1).to(context.dtype).sqrt()[:, None, None]


def _linear(config: ConvS2SConfig, dropped: bool = False) -> nn.Linear:
    linear = nn.Linear(config.d_model, config.d_model)
    draw_linear(linear, 1 - config.dropout if dropped else 1.0)
    return linear

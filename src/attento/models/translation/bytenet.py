"""ByteNet: dilated convolutions, the decoder on top of the encoder (Kalchbrenner et al. 2016, arXiv:1610.10099).

There is no attention: the decoder's position t is given the encoder's column t, and must find what it needs in the
columns up to there. Ours, or simpler than the paper: layer normalisation, which lets no row depend on its neighbours,
where the paper's first version has sub-batch normalisation; the encoder's columns are added to the vectors of the
target's tokens; and one linear map behind a ReLU stands before the output layer.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attento.models.base import Memory
from attento.models.translation.config import ByteNetConfig
from attento.models.translation.tied import TiedEncoderDecoder
from attento.nn.convolution import CausalConvolution, SourceConvolution, draw_linear
from attento.nn.dropout import Dropout
from attento.nn.state import DecoderState, expect_state, select_rows
from attento.shapes import Hidden, SourceIds, SourceMask, TargetIds


@dataclass(frozen=True)
class ByteNetState:
    """The decoder between two steps: every block's window, the encoder's columns, and how many tokens it has seen."""

    windows: tuple[Float[Tensor, "N _ E"], ...]
    columns: Float[Tensor, "N S D"]
    length: int

    def select(self, indices: Int[Tensor, " N"]) -> "ByteNetState":
        """Return a state whose row i is this state's row `indices[i]`."""
        return select_rows(self, indices)


class ByteNet(TiedEncoderDecoder):
    """An encoder and a decoder of dilated residual blocks that stand on each other, column on column."""

    max_source_length: int | None = None
    max_target_length: int | None = None

    def __init__(self, config: ByteNetConfig, source_vocab_size: int, target_vocab_size: int) -> None:
        """Make the model with freshly drawn weights; refuse what `TiedEncoderDecoder` refuses."""
        super().__init__(config, source_vocab_size, target_vocab_size)
        self.length_factor = config.length_factor
        self.dropout = Dropout(config.dropout)
        dilations = config.dilations * config.blocks
        self.encoder = nn.ModuleList(EncoderBlock(config, dilation) for dilation in dilations)
        self.decoder = nn.ModuleList(DecoderBlock(config, dilation) for dilation in dilations)
        self.encoder_output = NormalisedLinear(self.d_model, self.d_model)
        self.decoder_output = NormalisedLinear(self.d_model, self.d_model)

    def encode(self, source: SourceIds, source_mask: SourceMask) -> Memory:
        """Read the source by dilated convolutions, on columns some more than it has tokens.

        A source of n tokens gets `length_factor` * n columns, rounded up, since its translation may be the longer one;
        those beyond its end start as zeros, and the convolutions fill them (the paper's dynamic unfolding).
        """
        hidden = self.dropout(self.embed_source(source)).masked_fill(~source_mask[..., None], 0)
        columns = [math.ceil(self.length_factor * length) for length in range(source.size(1) + 1)]
        extended = torch.tensor(columns, device=source.device)[source_mask.sum(1)]
        mask = torch.arange(columns[-1], device=source.device) < extended[:, None]  # (B, S) -> (B, S')
        hidden = F.pad(hidden, (0, 0, 0, columns[-1] - source.size(1)))
        for block in self.encoder:
            hidden = block(hidden, mask)
        return Memory(self.encoder_output(hidden), mask)

    def start(self, memory: Memory) -> ByteNetState:
        """Return windows of zeros and the encoder's columns."""
        windows = []
        for block in self.decoder:
            assert isinstance(block, DecoderBlock)
            windows.append(block.convolution.start(memory.hidden.size(0)))
        return ByteNetState(tuple(windows), memory.hidden.masked_fill(~memory.mask[..., None], 0), length=0)

    def features(self, target: TargetIds, state: DecoderState) -> tuple[Hidden, ByteNetState]:
        """Decode position t on the encoder's column t, or on zeros beyond the last column (dynamic unfolding)."""
        state = expect_state(state, ByteNetState)
        length = state.length + target.size(1)
        columns = state.columns[:, state.length : length]
        columns = F.pad(columns, (0, 0, 0, target.size(1) - columns.size(1)))
        hidden, windows = self.dropout(self.target_embedding(target)) + columns, []
        for block, window in zip(self.decoder, state.windows, strict=True):
            hidden, window = block(hidden, window)
            windows.append(window)
        return self.decoder_output(hidden), ByteNetState(tuple(windows), state.columns, length)


class NormalisedLinear(nn.Module):
    """A linear map of max(0, layer norm of x): what a block begins and ends with."""

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_in)
        self.linear = nn.Linear(d_in, d_out)
        draw_linear(self.linear, variance=2)

    def forward(self, hidden: Float[Tensor, "B L I"]) -> Float[Tensor, "B L O"]:
        """Transform each column by itself."""
        transformed: Tensor = self.linear(self.norm(hidden).relu())
        return transformed


class EncoderBlock(nn.Module):
    """Narrow to half the width, convolve both ways, widen, add (the paper's residual block with ReLUs)."""

    def __init__(self, config: ByteNetConfig, dilation: int) -> None:
        super().__init__()
        half = (config.d_model + 1) // 2
        self.inner, self.outer = NormalisedLinear(config.d_model, half), NormalisedLinear(half, config.d_model)
        self.norm = nn.LayerNorm(half)
        self.convolution = SourceConvolution(half, half, config.width, dilation, variance=2)
        self.dropout = Dropout(config.dropout)

    def forward(self, hidden: Float[Tensor, "B S D"], mask: Bool[Tensor, "B S"]) -> Float[Tensor, "B S D"]:
        """Read the source once more."""
        convolved = self.convolution(self.norm(self.inner(hidden)).relu(), mask)
        read: Tensor = hidden + self.dropout(self.outer(convolved))
        return read


class DecoderBlock(nn.Module):
    """The encoder's block with a causal convolution (the paper's masked one)."""

    def __init__(self, config: ByteNetConfig, dilation: int) -> None:
        super().__init__()
        half = (config.d_model + 1) // 2
        self.inner, self.outer = NormalisedLinear(config.d_model, half), NormalisedLinear(half, config.d_model)
        self.norm = nn.LayerNorm(half)
        self.convolution = CausalConvolution(half, half, config.width, dilation, variance=2)
        self.dropout = Dropout(config.dropout)

    def forward(
        self, hidden: Float[Tensor, "N T D"], window: Float[Tensor, "N P E"]
    ) -> tuple[Float[Tensor, "N T D"], Float[Tensor, "N P E"]]:
        """Decode some tokens; return them with the window after them."""
        convolved, window = self.convolution(self.norm(self.inner(hidden)).relu(), window)
        return hidden + self.dropout(self.outer(convolved)), window

"""Dilated causal convolutions with gates: WaveNet over tokens (van den Oord et al. 2016, arXiv:1609.03499).

The gates, residuals, skips and rows of doubling dilations are WaveNet's (sections 2.1, 2.3 and 2.4); ByteNet's decoder
(Kalchbrenner et al. 2016) is of the same line. Ours: tokens in place of samples of sound, dropout on the vectors of
tokens and on what passes the gates, and, where tied, one matrix of token vectors on the way in and out.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attento.models.language.config import CausalConvolutionConfig
from attento.models.language.tied import TiedLanguageModel
from attento.nn.convolution import CausalConvolution, draw_linear
from attento.nn.dropout import Dropout
from attento.nn.state import DecoderState, expect_state, select_rows
from attento.shapes import Hidden, TargetIds


@dataclass(frozen=True)
class CausalConvolutionState:
    """The last columns that went into each layer: all that its convolution can still see."""

    windows: tuple[Float[Tensor, "N _ D"], ...]

    def select(self, indices: Int[Tensor, " N"]) -> "CausalConvolutionState":
        """Return a state whose row i is this state's row `indices[i]`."""
        return select_rows(self, indices)


class CausalConvolutionModel(TiedLanguageModel):
    """Reads a text by convolutions that look ever further back; forgets what is out of their reach."""

    def __init__(self, config: CausalConvolutionConfig, vocab_size: int) -> None:
        """Make the model with freshly drawn weights."""
        super().__init__(config, vocab_size)
        self.max_length = None
        self.dropout = Dropout(config.dropout)
        dilations = config.dilations * config.blocks
        self.layers = nn.ModuleList(GatedLayer(config, dilation, len(dilations)) for dilation in dilations)
        self.output = nn.Linear(config.d_model, config.d_model)
        draw_linear(self.output, variance=2)
        self.receptive_field = 1 + (config.width - 1) * sum(dilations)
        """How many of the last tokens a prediction depends on."""

    def start(self, rows: int) -> CausalConvolutionState:
        """Return windows of zeros."""
        return CausalConvolutionState(tuple(_layer(layer).convolution.start(rows) for layer in self.layers))

    def features(self, target: TargetIds, state: DecoderState) -> tuple[Hidden, CausalConvolutionState]:
        """Read by a stack of gated layers; what each of them skips to the end predicts (section 2.4, Figure 4)."""
        state = expect_state(state, CausalConvolutionState)
        hidden = self.dropout(self.embedding(target))
        skipped, windows = torch.zeros_like(hidden), []
        for layer, window in zip(self.layers, state.windows, strict=True):
            hidden, skip, window = layer(hidden, window)
            skipped = skipped + skip
            windows.append(window)
        return self.output(skipped.relu()), CausalConvolutionState(tuple(windows))


class GatedLayer(nn.Module):
    """z = tanh(W_f * x) . sigmoid(W_g * x) (WaveNet, section 2.3, eq. 2); x + R z goes on, S z skips to the end."""

    def __init__(self, config: CausalConvolutionConfig, dilation: int, depth: int) -> None:
        super().__init__()
        d_model = config.d_model
        self.convolution = CausalConvolution(d_model, 2 * d_model, config.width, dilation)
        self.dropout = Dropout(config.dropout)
        self.outputs = nn.Linear(d_model, 2 * d_model)
        # What passes a tanh and a gate has a tenth of its variance; all layers together are to add about one.
        draw_linear(self.outputs, variance=10 / depth)

    def forward(
        self, hidden: Float[Tensor, "B L D"], window: Float[Tensor, "B P D"]
    ) -> tuple[Float[Tensor, "B L D"], Float[Tensor, "B L D"], Float[Tensor, "B P D"]]:
        """Read some more tokens; return what goes on, what skips to the end, and the window."""
        convolved, window = self.convolution(hidden, window)
        filtered, gate = convolved.chunk(2, dim=-1)  # (B, L, 2D) -> 2 times (B, L, D)
        residual, skip = self.outputs(self.dropout(filtered.tanh() * gate.sigmoid())).chunk(2, dim=-1)
        return hidden + residual, skip, window


def _layer(module: nn.Module) -> GatedLayer:
    assert isinstance(module, GatedLayer)
    return module

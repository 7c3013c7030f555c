"""A feed-forward network over the last few tokens (Bengio, Ducharme, Vincent & Jauvin 2003).

"A neural probabilistic language model", Journal of Machine Learning Research 3, eq. 1: y = b + W x + U tanh(d + H x),
where x is the vectors of the last tokens side by side. Here W = 0, the paper's variant without direct connections from
the input to the output. Ours: the oldest token stands first in x, what lies before the beginning of a text is zeros,
and there is dropout on x and on the hidden layer.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor, nn

from attento.models.language.config import WindowMLPConfig
from attento.models.language.tied import TiedLanguageModel
from attento.models.layers import draw_linear
from attento.nn.dropout import Dropout
from attento.nn.state import DecoderState, expect_state, select_rows
from attento.shapes import Hidden, TargetIds


@dataclass(frozen=True)
class WindowState:
    """The last tokens read: a window less the token to come, or all while there are fewer."""

    tokens: Int[Tensor, "N P"]

    def select(self, indices: Int[Tensor, " N"]) -> "WindowState":
        """Return a state whose row i is this state's row `indices[i]`."""
        return select_rows(self, indices)


class WindowMLP(TiedLanguageModel):
    """Predicts from the vectors of the last tokens, each at its place in the window; forgets all that is older."""

    def __init__(self, config: WindowMLPConfig, vocab_size: int) -> None:
        """Make the model with freshly drawn weights."""
        # What predicts is the hidden layer.
        super().__init__(config, vocab_size, d_output=config.d_hidden, output_bias=True)
        self.max_length = None
        self.window = config.window
        self.hidden = nn.Linear(config.window * config.d_model, config.d_hidden)
        self.dropout = Dropout(config.dropout)
        draw_linear(self.hidden)

    def start(self, rows: int) -> WindowState:
        """Return the state of texts of which nothing is read: no tokens."""
        return WindowState(torch.empty(rows, 0, dtype=torch.long, device=self.embedding.weight.device))

    def features(self, target: TargetIds, state: DecoderState) -> tuple[Hidden, WindowState]:
        """Compute tanh(d + H x) at every token at once."""
        state = expect_state(state, WindowState)
        tokens = torch.cat((state.tokens, target), dim=1)
        missing = self.window - 1 - state.tokens.size(1)
        vectors = nn.functional.pad(self.embedding(tokens), (0, 0, missing, 0))
        windows = self.dropout(vectors).unfold(1, self.window, 1)  # (B, window - 1 + T, D) -> (B, T, D, window)
        hidden = torch.tanh(self.hidden(windows.transpose(2, 3).flatten(2)))
        return self.dropout(hidden), WindowState(tokens[:, max(tokens.size(1) - (self.window - 1), 0) :])

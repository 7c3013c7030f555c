"""RNN encoder-decoders: all that the decoder gets of the source is one state of fixed size.

With GRU or Elman cells, Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder" (arXiv:1406.1078):
a summary of the source starts the decoder, enters its every step, and enters the deep output. With LSTM cells,
Sutskever et al. 2014, "Sequence to sequence learning with neural networks" (arXiv:1409.3215): each decoder layer starts
from hidden vector and cell of the encoder's layer beside it, nothing else is handed on, and the last layer predicts.
Cho et al. have one layer and their own cell, which the Elman cell replaces here for comparison. Dropout is on all that
passes from layer to layer, not from step to step (Zaremba et al. 2014).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attento.models.base import Memory
from attento.models.translation.config import RecurrentConfig
from attento.models.translation.tied import TiedEncoderDecoder
from attento.nn.dropout import Dropout
from attento.nn.recurrent import Recurrent, RecurrentState
from attento.nn.state import DecoderState, expect_state, select_rows
from attento.shapes import Hidden, SourceIds, SourceMask, TargetIds


@dataclass(frozen=True)
class RecurrentMemory(Memory):
    """What an RNN put out at each source token, and its state after the last one."""

    final: RecurrentState


@dataclass(frozen=True)
class RecurrentDecoderState:
    """The decoder between two steps: its layers' vectors, and the summary of the source where one is looked at."""

    recurrent: RecurrentState
    summary: Float[Tensor, "N D"] | None

    def select(self, indices: Int[Tensor, " N"]) -> "RecurrentDecoderState":
        """Return a state whose row i is this state's row `indices[i]`."""
        return select_rows(self, indices)


class RecurrentEncoderDecoder(TiedEncoderDecoder):
    """An RNN that reads the source into one state and an RNN that writes from it."""

    def __init__(self, config: RecurrentConfig, source_vocab_size: int, target_vocab_size: int) -> None:
        """Make the model with freshly drawn weights; refuse what `TiedEncoderDecoder` refuses."""
        super().__init__(config, source_vocab_size, target_vocab_size)
        self.max_source_length = self.max_target_length = None
        d_model = config.d_model
        self.reverse_source = config.reverse_source
        self.dropout = Dropout(config.dropout)
        summarised = config.cell != "lstm"
        self.encoder = Recurrent(config.cell, d_model, d_model, config.encoder_layers, config.dropout)
        self.decoder = Recurrent(
            config.cell, d_model * (1 + summarised), d_model, config.decoder_layers, config.dropout
        )
        self.summary = Summary(d_model, config.decoder_layers) if summarised else None
        self.output = DeepOutput(d_model, d_model) if summarised else None

    def encode(self, source: SourceIds, source_mask: SourceMask) -> RecurrentMemory:
        """Read the source from left to right, or its real tokens from right to left (`reverse_source`)."""
        if self.reverse_source:
            source = _reversed(source, source_mask)
        hidden, final = self.encoder(self.dropout(self.embed_source(source)), None, source_mask)
        return RecurrentMemory(hidden, source_mask, final)

    def start(self, memory: Memory) -> RecurrentDecoderState:
        """Take the encoder's last state as it is (LSTM), or summarise it."""
        final = expect_state(memory, RecurrentMemory).final
        if self.summary is None:
            return RecurrentDecoderState(final, None)
        summary, first = self.summary(final.hidden[:, -1])
        return RecurrentDecoderState(RecurrentState(first), summary)

    def features(self, target: TargetIds, state: DecoderState) -> tuple[Hidden, RecurrentDecoderState]:
        """Write some more tokens, all of them by one call of the fused recurrence."""
        state = expect_state(state, RecurrentDecoderState)
        words = self.dropout(self.target_embedding(target))
        if self.output is None or state.summary is None:
            hidden, recurrent = self.decoder(words, state.recurrent)
        else:
            summary = state.summary[:, None].expand_as(words)
            hidden, recurrent = self.decoder(torch.cat((words, summary), dim=-1), state.recurrent)
            hidden = self.output(hidden, words, state.summary[:, None])
        return self.dropout(hidden), RecurrentDecoderState(recurrent, state.summary)


class Summary(nn.Module):
    """The summary c = tanh(V h) of what was read, and the decoder's first state tanh(V' c) (Cho et al., appendix A)."""

    def __init__(self, d_model: int, layers: int) -> None:
        super().__init__()
        self.by_encoder = glorot(d_model, d_model)
        self.by_summary = glorot(d_model, layers * d_model)
        self.layers = layers

    def forward(self, hidden: Float[Tensor, "B D"]) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B layers D"]]:
        """Return the summary, and the vector that each decoder layer starts from."""
        summary = torch.tanh(self.by_encoder(hidden))
        return summary, torch.unflatten(torch.tanh(self.by_summary(summary)), -1, (self.layers, -1))


class DeepOutput(nn.Module):
    """The larger of each two numbers of U h + V y + C c, of the state, the word before it and the source.

    Cho et al. 2014, appendix A, and Bahdanau et al. 2015, appendix A.2.2 (maxout: Goodfellow et al. 2013).
    """

    def __init__(self, d_model: int, d_context: int) -> None:
        super().__init__()
        self.by_hidden = glorot(d_model, 2 * d_model)
        self.by_word = glorot(d_model, 2 * d_model, bias=False)
        self.by_context = glorot(d_context, 2 * d_model, bias=False)

    def forward(
        self, hidden: Float[Tensor, "B T D"], words: Float[Tensor, "B T D"], context: Float[Tensor, "B #T E"]
    ) -> Float[Tensor, "B T D"]:
        """Return the vectors that predict."""
        both = self.by_hidden(hidden) + self.by_word(words) + self.by_context(context)
        return torch.maximum(*both.chunk(2, dim=-1))


def glorot(d_in: int, d_out: int, bias: bool = True) -> nn.Linear:
    """Make a linear map by Glorot's uniform draw, with a bias of zero; torch's default is smaller and starts slower."""
    linear = nn.Linear(d_in, d_out, bias)
    nn.init.xavier_uniform_(linear.weight)
    if bias:
        nn.init.zeros_(linear.bias)
    return linear


def _reversed(source: SourceIds, mask: SourceMask) -> SourceIds:
    # Padding stays behind: position i of a row of n real tokens takes token n - 1 - i.
    positions = torch.arange(source.size(1), device=source.device)
    mirrored = mask.sum(dim=1, keepdim=True) - 1 - positions
    return source.gather(1, torch.where(mask, mirrored, positions))

"""RNN encoder-decoders with attention: at every step the decoder looks at all of the source again.

`additive`: Bahdanau et al. 2015, "Neural machine translation by jointly learning to align and translate"
(arXiv:1409.0473). The encoder reads in both directions; the state before a word looks at the source, and what it sees
enters the cell. `dot`, `general` and `concat`: Luong et al. 2015, "Effective approaches to attention-based neural
machine translation" (arXiv:1508.04025), global attention with input feeding. The encoder reads in one direction; the
state after a word looks at the source, and what comes of it predicts, and enters the next step.

Any cell and number of layers serve either (theirs: one layer of gated units; four layers of LSTM). The deep output
takes the state s_i after the cell, as in Bahdanau's eq. 4; their appendix writes s_{i-1}. Dropout is on all that passes
from layer to layer, not from step to step.
"""

from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attento.models.base import Memory
from attento.models.translation.config import RecurrentAttentionConfig
from attento.models.translation.recurrent import DeepOutput, RecurrentMemory, glorot
from attento.models.translation.tied import TiedEncoderDecoder
from attento.nn.alignment import Alignment, AlignmentSource
from attento.nn.dropout import Dropout
from attento.nn.recurrent import Recurrent, RecurrentState, StepwiseRecurrent
from attento.nn.state import DecoderState, expect_state, select_rows
from attento.shapes import Hidden, SourceIds, SourceMask, TargetIds


@dataclass(frozen=True)
class AttentiveState:
    """The decoder between two steps: the source, its layers' vectors, and (Luong) the last attentional vector."""

    source: AlignmentSource
    recurrent: RecurrentState
    feed: Float[Tensor, "N D"] | None

    def select(self, indices: Int[Tensor, " N"]) -> "AttentiveState":
        """Return a state whose row i is this state's row `indices[i]`."""
        return select_rows(self, indices)


class RecurrentAttention(TiedEncoderDecoder):
    """An RNN that reads and an RNN that writes with attention to all that was read."""

    def __init__(self, config: RecurrentAttentionConfig, source_vocab_size: int, target_vocab_size: int) -> None:
        """Make the model with freshly drawn weights; refuse what `TiedEncoderDecoder` refuses."""
        super().__init__(config, source_vocab_size, target_vocab_size)
        self.max_source_length = self.max_target_length = None
        d_model = config.d_model
        self.dropout = Dropout(config.dropout)
        additive = config.attention == "additive"
        self.encoder = Recurrent(config.cell, d_model, d_model, config.encoder_layers, config.dropout, additive)
        self.decoder: Writer = BahdanauDecoder(config) if additive else LuongDecoder(config)

    def encode(self, source: SourceIds, source_mask: SourceMask) -> RecurrentMemory:
        """Read the source in both directions (Bahdanau et al. 2015, section 3.2), or in one (Luong et al. 2015)."""
        hidden, final = self.encoder(self.dropout(self.embed_source(source)), None, source_mask)
        return RecurrentMemory(self.dropout(hidden), source_mask, final)

    def start(self, memory: Memory) -> AttentiveState:
        """Project the source once, and make the decoder's first state."""
        return self.decoder.start(expect_state(memory, RecurrentMemory))

    def features(self, target: TargetIds, state: DecoderState) -> tuple[Hidden, AttentiveState]:
        """Write some more tokens, one after the other: what is looked at depends on what was written."""
        state = expect_state(state, AttentiveState)
        hidden, after = self.decoder(self.dropout(self.target_embedding(target)), state)
        return self.dropout(hidden), after


class BahdanauDecoder(nn.Module):
    """Look at the source, take one step with what was seen, predict from both (Bahdanau et al. 2015, section 3.1)."""

    def __init__(self, config: RecurrentAttentionConfig) -> None:
        super().__init__()
        d_model, d_memory = config.d_model, 2 * config.d_model
        self.layers = config.decoder_layers
        self.first = glorot(d_model, self.layers * d_model)
        self.alignment = Alignment("additive", d_model, d_memory)
        self.recurrent = StepwiseRecurrent(config.cell, d_model, d_memory, d_model, self.layers, config.dropout)
        self.output = DeepOutput(d_model, d_memory)

    def start(self, memory: RecurrentMemory) -> AttentiveState:
        """Start from what the encoder's backward direction has read: s_0 = tanh(W h_1) (appendix A.2.2)."""
        first = torch.unflatten(torch.tanh(self.first(memory.final.hidden[:, -1])), -1, (self.layers, -1))
        cell = None if memory.final.cell is None else torch.zeros_like(first)
        source = self.alignment.source(memory.hidden, memory.mask)
        return AttentiveState(source, RecurrentState(first, cell), feed=None)

    def forward(
        self, words: Float[Tensor, "N T D"], state: AttentiveState
    ) -> tuple[Float[Tensor, "N T D"], AttentiveState]:
        """Return the vectors that predict the word after each, and the state after the last."""
        hiddens, contexts = [], []
        recurrent = state.recurrent
        for by_word in self.recurrent.by_words(words).unbind(1):
            context, _ = self.alignment(recurrent.hidden[:, -1], state.source)
            recurrent = self.recurrent(by_word, context, recurrent)
            hiddens.append(recurrent.hidden[:, -1])
            contexts.append(context)
        predicting = self.output(torch.stack(hiddens, dim=1), words, torch.stack(contexts, dim=1))
        return predicting, replace(state, recurrent=recurrent)


class LuongDecoder(nn.Module):
    """Take one step, look at the source, predict from both, and feed that to the next step (Luong et al. 2015)."""

    def __init__(self, config: RecurrentAttentionConfig) -> None:
        super().__init__()
        d_model = config.d_model
        self.alignment = Alignment(config.attention, d_model, d_model)
        self.recurrent = StepwiseRecurrent(
            config.cell, d_model, d_model, d_model, config.decoder_layers, config.dropout
        )
        self.by_context = glorot(d_model, d_model, bias=False)
        self.by_hidden = glorot(d_model, d_model, bias=False)

    def start(self, memory: RecurrentMemory) -> AttentiveState:
        """Start each layer where the encoder's layer beside it has ended, with nothing to feed."""
        source = self.alignment.source(memory.hidden, memory.mask)
        return AttentiveState(source, memory.final, feed=torch.zeros_like(memory.final.hidden[:, 0]))

    def forward(
        self, words: Float[Tensor, "N T D"], state: AttentiveState
    ) -> tuple[Float[Tensor, "N T D"], AttentiveState]:
        """Return the attentional vectors tanh(W_c [c; h]) (eq. 5), and the state after the last."""
        attentional = []
        recurrent, feed = state.recurrent, state.feed
        for by_word in self.recurrent.by_words(words).unbind(1):
            recurrent = self.recurrent(by_word, feed, recurrent)
            context, _ = self.alignment(recurrent.hidden[:, -1], state.source)
            feed = torch.tanh(self.by_context(context) + self.by_hidden(recurrent.hidden[:, -1]))
            attentional.append(feed)
        return torch.stack(attentional, dim=1), replace(state, recurrent=recurrent, feed=feed)


Writer: TypeAlias = BahdanauDecoder | LuongDecoder

"""A translation model that is a language model: one stack reads the source and goes on with the target.

Liu et al. 2018, "Generating Wikipedia by summarizing long sequences" (arXiv:1801.10198), section 4.2.3: the decoder of
Vaswani et al. 2017 without its attention to a source reads source, separator and target as one sequence. The first
input of a target, the beginning of sentence, is the separator. In their model the source's tokens are predicted too;
here the loss is of the target's alone, as in the "language model" and "prefix LM" of Raffel et al. 2020
(arXiv:1910.10683), section 3.2.1.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from attento.models.base import Memory
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
from attento.models.translation.config import DecoderOnlyTranslationConfig
from attento.models.translation.tied import TiedEncoderDecoder
from attento.nn.dropout import Dropout
from attento.nn.masks import causal_mask, padding_mask, window_mask
from attento.nn.positions import add_positions
from attento.nn.state import DecoderState, expect_state, select_rows
from attento.shapes import Hidden, SourceIds, SourceMask, TargetIds


@dataclass(frozen=True)
class PrefixMemory(Memory):
    """The source as the layers keep it: `hidden` and `mask` have each row's padding before its tokens."""

    layers: tuple[LayerState, ...]


@dataclass(frozen=True)
class PrefixState:
    """The sequence so far: every layer's keys and values, which columns of the source are real, and target tokens."""

    layers: tuple[LayerState, ...]
    source_mask: Bool[Tensor, "N S"]
    length: int

    def select(self, indices: Int[Tensor, " N"]) -> "PrefixState":
        """Return a state whose row i is this state's row `indices[i]`."""
        return select_rows(self, indices)


class DecoderOnlyTranslation(TiedEncoderDecoder):
    """A stack of masked self-attention over source, separator and target.

    The source is moved to the right, its padding before it, so that the columns of a row are consecutive from its first
    token to the target's last: a mask of columns and a window that slides over them say the same of every row. The
    places that positions are made of are counted from each row's own first token.
    """

    def __init__(self, config: DecoderOnlyTranslationConfig, source_vocab_size: int, target_vocab_size: int) -> None:
        """Make the model with freshly drawn weights; refuse what `TiedEncoderDecoder` refuses."""
        super().__init__(
            config,
            source_vocab_size,
            target_vocab_size,
            scaled=config.scale_embeddings,
            output_bias=config.output_bias,
        )
        self.positions = make_positions(config)
        # Source and target share what positions there are; each is sure of half of them.
        limit = self.positions.max_length
        self.max_source_length = None if limit is None else limit // 2
        self.max_target_length = None if limit is None else limit - limit // 2
        self.source_sees = config.source_sees
        self.relations = make_relations(config, both_ways=config.source_sees == "all")
        self.embedding_norm = make_embedding_norm(config)
        self.sliding_window = config.sliding_window
        self.dropout = Dropout(config.dropout)
        self.decoder = nn.ModuleList(DecoderLayer(config, reads_source=False) for _ in range(config.layers))
        self.decoder_norm = make_last_norm(config)
        self.recompute = False
        """Whether training forgets what each layer computes inside, and computes it again in the backward pass."""
        self.apply(draw_linear)

    def encode(self, source: SourceIds, source_mask: SourceMask) -> PrefixMemory:
        """Read the source, each token with what it sees of the others (Raffel et al. 2020, section 3.2.1)."""
        length = source.size(1)
        # A stable sort of two values: padding first, the tokens after it in their order.
        columns = source_mask.int().argsort(dim=1, stable=True)
        source, real = source.gather(1, columns), source_mask.gather(1, columns)
        seen = causal_mask(length, length, source.device, self.sliding_window)
        if self.source_sees == "all":
            seen = window_mask(length, self.sliding_window or length, source.device)
        # Padding sees itself: to a fused kernel, and to its gradient, a query that sees nothing can be 0 / 0.
        mask = padding_mask(real) & seen | torch.eye(length, dtype=torch.bool, device=source.device)
        states = (LayerState(None, None),) * len(self.decoder)
        hidden, layers = self._read(self.embed_source(source), states, _count(real) - length, mask, most=length)
        return PrefixMemory(hidden, real, layers)

    def start(self, memory: Memory) -> PrefixState:
        """Return the state in which the source is read and nothing is decoded yet."""
        assert isinstance(memory, PrefixMemory)
        return PrefixState(memory.layers, memory.mask, length=0)

    def features(self, target: TargetIds, state: DecoderState) -> tuple[Hidden, PrefixState]:
        """Go on with the target, which sees the source and what stands before of itself."""
        state = expect_state(state, PrefixState)
        new, first = target.size(1), state.layers[0].target
        kept = 0 if first is None else first.length
        read = state.source_mask.size(1) + state.length
        real = nn.functional.pad(state.source_mask, (0, state.length + new), value=True)[:, read - kept :]
        mask = padding_mask(real) & causal_mask(new, kept + new, target.device, self.sliding_window)
        hidden, layers = self._read(
            self.target_embedding(target),
            state.layers,
            _count(state.source_mask) + state.length,
            mask,
            most=read + new,
        )
        return hidden, PrefixState(layers, state.source_mask, state.length + new)

    def _read(
        self,
        embedded: Hidden,
        states: tuple[LayerState, ...],
        start: Int[Tensor, "B 1"],
        mask: Bool[Tensor, "B 1 L M"],
        most: int,
    ) -> tuple[Hidden, tuple[LayerState, ...]]:
        """Send tokens through the stack; the first of each row is at its place `start`, and all are before `most`."""
        places = start + torch.arange(embedded.size(1), device=embedded.device)
        # Padding stands at places below 0, and nobody asks what it is given.
        positions = self.positions(0, most)[places.clamp(min=0)]  # (B, L) -> (B, L, D)
        hidden, layers = decode_through(
            self.decoder,
            self.dropout(self.embedding_norm(add_positions(embedded, positions))),
            states,
            start,
            self.relations,
            target_mask=mask,
            window=self.sliding_window,
            recompute=self.recompute,
        )
        return self.decoder_norm(hidden), layers


def _count(real: Bool[Tensor, "N S"]) -> Int[Tensor, "N 1"]:
    return real.sum(dim=1, keepdim=True)

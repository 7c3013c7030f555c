"""The layers of every Transformer, their states, and the way through a stack of them.

An encoder layer reads a whole sequence; a decoder layer goes on from what it has seen, with a source or without. Knows
no task and no vocabulary.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from attento.models.stack_config import StackConfig
from attento.nn.attention import MultiHeadAttention
from attento.nn.embedding import TokenEmbedding
from attento.nn.feed_forward import FeedForward, GatedFeedForward
from attento.nn.masks import causal_mask, padding_mask, window_mask
from attento.nn.normalization import NoNormalization, make_normalization, unchanged_statistics
from attento.nn.positions import LearnedPositions, NoPositions, SinusoidalPositions
from attento.nn.relation import (
    NO_RELATION,
    BucketBiases,
    LinearBiases,
    NoRelations,
    Relation,
    RotaryRelations,
    RotaryScaling,
    consecutive_places,
)
from attento.nn.residual import LeftOut, Residual
from attento.nn.state import KeyValues


@dataclass(frozen=True)
class LayerState:
    """What one decoder layer keeps: keys and values of the target so far, and of the source; None where it has none."""

    target: KeyValues | None
    source: KeyValues | None


class EncoderLayer(nn.Module):
    """Self-attention, then the feed-forward network, each in a residual (Vaswani et al. 2017, section 3.1, Encoder)."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.self_attention = _attention(config)
        self.feed_forward = make_feed_forward(config)
        self.self_attention_residual = make_residual(config)
        self.feed_forward_residual = make_feed_forward_residual(config)

    def forward(
        self,
        hidden: Float[Tensor, "B S D"],
        real: Bool[Tensor, "B S"],
        mask: Bool[Tensor, "B 1 #S S"],
        relation: Relation = NO_RELATION,
    ) -> Float[Tensor, "B S D"]:
        """Read the source once more; `mask` is what each token may attend to."""
        attention = self.self_attention
        hidden = self.self_attention_residual(
            hidden, lambda x: attention(x, attention.keys_values(x, relation), mask, relation), real
        )
        read: Tensor = self.feed_forward_residual(hidden, self.feed_forward, real)
        return read


class DecoderLayer(nn.Module):
    """Masked self-attention, attention to the source if there is one, then the feed-forward network (section 3.1)."""

    def __init__(self, config: StackConfig, reads_source: bool = True) -> None:
        super().__init__()
        self.sliding_window = config.sliding_window
        self.self_attention = _attention(config)
        self.cross_attention = _attention(config) if reads_source else None
        self.feed_forward = make_feed_forward(config)
        self.self_attention_residual = make_residual(config)
        self.cross_attention_residual = make_residual(config) if reads_source else None
        self.feed_forward_residual = make_feed_forward_residual(config)

    def start(self, memory: Float[Tensor, "N S D"] | None = None) -> LayerState:
        """Return the state in which nothing is decoded yet, with the source's keys and values, projected once."""
        if self.cross_attention is None or memory is None:
            return LayerState(None, None)
        return LayerState(None, self.cross_attention.keys_values(memory))

    def forward(
        self,
        hidden: Float[Tensor, "N T D"],
        state: LayerState,
        target_mask: Bool[Tensor, "T L"] | Bool[Tensor, "N 1 T L"] | None,
        source_mask: Bool[Tensor, "N 1 1 S"] | None = None,
        relation: Relation = NO_RELATION,
    ) -> tuple[Float[Tensor, "N T D"], LayerState]:
        """Decode some tokens; return them with the keys and values of the tokens that later ones may see."""
        seen = state.target

        def attend_to_target(x: Tensor) -> Tensor:
            nonlocal seen
            new = self.self_attention.keys_values(x, relation)
            seen = new if seen is None else seen.append(new)
            gathered: Tensor = self.self_attention(x, seen, target_mask, relation)
            return gathered

        hidden = self.self_attention_residual(hidden, attend_to_target)
        cross_attention = self.cross_attention
        if cross_attention is not None and self.cross_attention_residual is not None:
            hidden = self.cross_attention_residual(hidden, lambda x: cross_attention(x, state.source, source_mask))
        if seen is not None and self.sliding_window is not None:
            seen = seen.last(self.sliding_window - 1)
        return self.feed_forward_residual(hidden, self.feed_forward), LayerState(seen, state.source)


def encode_through(
    layers: Iterable[nn.Module],
    hidden: Float[Tensor, "B S D"],
    real: Bool[Tensor, "B S"],
    relations: nn.Module,
    *,
    window: int | None = None,
    recompute: bool = False,
) -> Float[Tensor, "B S D"]:
    """Send whole sequences through a stack of encoder layers."""
    length = hidden.size(1)
    relation = relations(consecutive_places(0, length, 0, hidden.device))
    mask = padding_mask(real)
    if window is not None and window < length:
        mask = mask & window_mask(length, window, hidden.device)
    for layer in layers:
        hidden = run(layer, hidden, real, mask, relation, recompute=recompute)
    return hidden


def decode_through(
    layers: Iterable[nn.Module],
    hidden: Float[Tensor, "N T D"],
    states: tuple[LayerState, ...],
    length: int | Int[Tensor, "N 1"],
    relations: nn.Module,
    source_mask: Bool[Tensor, "N S"] | None = None,
    *,
    target_mask: Bool[Tensor, "N 1 T L"] | None = None,
    window: int | None = None,
    recompute: bool = False,
) -> tuple[Float[Tensor, "N T D"], tuple[LayerState, ...]]:
    """Send new tokens through a stack of decoder layers that have seen `length` tokens before, or so many in each row.

    A new token sees itself and those before it that the `window` reaches, or what `target_mask` lets it see.
    """
    new, kept = hidden.size(1), 0 if states[0].target is None else states[0].target.length
    relation = relations(consecutive_places(length, new, kept, hidden.device))
    seen_mask: Tensor | None = target_mask
    # One new token may see everything that is kept: nothing to hide.
    if target_mask is None and new > 1:
        seen_mask = causal_mask(new, kept + new, hidden.device, window)
    to_source = None if source_mask is None else padding_mask(source_mask)
    after = []
    for layer, state in zip(layers, states, strict=True):
        hidden, state = run(layer, hidden, state, seen_mask, to_source, relation, recompute=recompute)
        after.append(state)
    return hidden, tuple(after)


def run(layer: nn.Module, *inputs: Any, recompute: bool) -> Any:
    """Run a layer; where asked to, forget what it computes inside, and compute it again in the backward pass.

    Chen et al. 2016, "Training deep nets with sublinear memory cost". Dropout draws the same numbers again, and a
    batch's statistics count once.
    """
    if not (recompute and layer.training):
        return layer(*inputs)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), unchanged_statistics(layer)

    return checkpoint(layer, *inputs, use_reentrant=False, context_fn=contexts)


def make_residual(config: StackConfig) -> Residual:
    """Make what stands around a sublayer."""
    return Residual(
        config.d_model, config.dropout, config.norm, config.normalization, config.residual, config.norm_epsilon
    )


def make_feed_forward(config: StackConfig) -> nn.Module:
    """Make the feed-forward network; nothing where it is to be left out."""
    match config.feed_forward:
        case "none":
            return nn.Identity()
        case "relu" | "gelu" | "gelu_tanh" | "silu" as activation:
            return FeedForward(config.d_model, config.d_ff, activation, config.bias)
        case gate:
            return GatedFeedForward(config.d_model, config.d_ff, gate, config.bias)


def make_feed_forward_residual(config: StackConfig) -> nn.Module:
    """Make what stands around the feed-forward network; nothing where it is to be left out."""
    return LeftOut() if config.feed_forward == "none" else make_residual(config)


def make_embedding(config: StackConfig, vocab_size: int) -> TokenEmbedding:
    """Make a matrix of token vectors."""
    return TokenEmbedding(vocab_size, config.d_model, config.scale_embeddings)


def make_embedding_norm(config: StackConfig) -> nn.Module:
    """Make the normalization of token vectors, where there is to be one."""
    return _norm(config) if config.embedding_norm else NoNormalization()


def make_last_norm(config: StackConfig) -> nn.Module:
    """Make the normalization at the end of a stack, which it needs where residuals have theirs before the sublayer."""
    return _norm(config) if config.norm == "pre" else NoNormalization()


def make_positions(config: StackConfig) -> SinusoidalPositions | LearnedPositions | NoPositions:
    """Make what is added to a token's vector to tell where it stands."""
    match config.positions:
        case "learned":
            return LearnedPositions(config.d_model, config.max_positions)
        case "sinusoidal":
            return SinusoidalPositions(config.d_model, layout=config.position_layout)
        case _:
            return NoPositions(config.d_model)


def make_relations(config: StackConfig, *, both_ways: bool) -> nn.Module:
    """Make what tells attention how tokens stand to each other; `both_ways` where they see what comes after them."""
    match config.positions:
        case "rotary":
            scaling = config.rotary.scaling
            return RotaryRelations(
                config.d_key or config.d_model // config.num_heads,
                config.rotary.base,
                config.position_layout,
                None if scaling is None else RotaryScaling(**scaling.model_dump()),
            )
        case "alibi":
            return LinearBiases(config.num_heads)
        case "relative":
            relative = config.relative
            return BucketBiases(config.num_heads, relative.buckets, relative.max_distance, both_ways=both_ways)
        case _:
            return NoRelations()


def draw_linear(module: nn.Module) -> None:
    """Draw a linear map's weights anew: Glorot's uniform draw, as in the authors' own code.

    Torch's default is smaller and starts slower.
    """
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _attention(config: StackConfig) -> MultiHeadAttention:
    return MultiHeadAttention(
        config.d_model,
        config.num_heads,
        config.d_key,
        config.d_value,
        num_kv_heads=config.num_kv_heads,
        scores=config.scores,
        projections=config.projections,
        bias=config.bias,
    )


def _norm(config: StackConfig) -> nn.Module:
    return make_normalization(config.normalization, config.d_model, config.norm_epsilon)

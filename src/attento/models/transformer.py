"""The Transformer of "Attention Is All You Need" (Vaswani et al. 2017, arXiv:1706.03762), in reading order."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from attento.models.base import EncoderDecoder, Memory
from attento.models.config import TransformerConfig
from attento.nn.attention import MultiHeadAttention
from attento.nn.dropout import Dropout
from attento.nn.embedding import TokenEmbedding
from attento.nn.feed_forward import FeedForward
from attento.nn.masks import causal_mask, padding_mask
from attento.nn.positions import LearnedPositions, SinusoidalPositions, add_positions
from attento.nn.residual import Residual
from attento.nn.state import DecoderState, KeyValues, select_rows
from attento.shapes import Hidden, SourceIds, SourceMask, TargetIds


@dataclass(frozen=True)
class LayerState:
    """What one decoder layer keeps: keys and values of the target so far (if any) and of the source."""

    target: KeyValues | None
    source: KeyValues


@dataclass(frozen=True)
class TransformerState:
    """The decoder between two steps: every layer's keys and values, and how many tokens it has seen."""

    layers: tuple[LayerState, ...]
    source_mask: Bool[Tensor, "N S"]
    length: int

    def select(self, indices: Int[Tensor, " N"]) -> "TransformerState":
        """Return a state whose row i is this state's row `indices[i]`."""
        return select_rows(self, indices)


class Transformer(EncoderDecoder):
    """An encoder that reads by self-attention and a decoder that writes by attending to itself and to the source."""

    def __init__(self, config: TransformerConfig, source_vocab_size: int, target_vocab_size: int) -> None:
        """Make the model with freshly drawn weights.

        Raises:
            ValueError: one matrix for all (`tied_embeddings: all`) is asked for, but the vocabularies differ in size.
        """
        super().__init__()
        if config.tied_embeddings == "all" and source_vocab_size != target_vocab_size:
            raise ValueError(
                "`model.tied_embeddings: all` needs one joint vocabulary, but the source has "
                f"{source_vocab_size} tokens and the target {target_vocab_size}; set it to `target` or `none`, "
                "or `data.tokenizer.joint: true`"
            )
        self.source_vocab_size, self.target_vocab_size = source_vocab_size, target_vocab_size
        self.d_model = d_model = config.d_model
        self.target_embedding = TokenEmbedding(target_vocab_size, d_model)
        # None where the target's matrix serves: a tied matrix has one name in the file of weights.
        self.source_embedding = None if config.tied_embeddings == "all" else TokenEmbedding(source_vocab_size, d_model)
        self.output_embedding = TokenEmbedding(target_vocab_size, d_model) if config.tied_embeddings == "none" else None
        self.source_positions, self.target_positions = _positions(config), _positions(config)
        self.max_source_length = self.source_positions.max_length
        self.max_target_length = self.target_positions.max_length
        self.dropout = Dropout(config.dropout)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.encoder_norm = nn.LayerNorm(d_model) if config.norm == "pre" else nn.Identity()
        self.decoder_norm = nn.LayerNorm(d_model) if config.norm == "pre" else nn.Identity()
        self.recompute = False
        """Whether training forgets what each layer computes inside, and computes it again in the backward pass."""
        self.apply(_draw_linear)

    def encode(self, source: SourceIds, source_mask: SourceMask) -> Memory:
        """Read the source by a stack of self-attention layers (section 3.1, Encoder)."""
        embedding = self.source_embedding or self.target_embedding
        hidden = self.dropout(add_positions(embedding(source), self.source_positions(0, source.size(1))))
        mask = padding_mask(source_mask)
        for layer in self.encoder:
            hidden = self._through(layer, hidden, mask)
        return Memory(self.encoder_norm(hidden), source_mask)

    def start(self, memory: Memory) -> TransformerState:
        """Project the source's keys and values once, for every layer."""
        layers = []
        for layer in self.decoder:
            assert isinstance(layer, DecoderLayer)
            layers.append(LayerState(None, layer.cross_attention.keys_values(memory.hidden)))
        return TransformerState(tuple(layers), memory.mask, length=0)

    def features(self, target: TargetIds, state: DecoderState) -> tuple[Hidden, TransformerState]:
        """Decode by masked self-attention and attention to the source (section 3.1, Decoder)."""
        assert isinstance(state, TransformerState)
        length = state.length + target.size(1)
        positions = self.target_positions(state.length, target.size(1))
        hidden = self.dropout(add_positions(self.target_embedding(target), positions))
        # One new token may see everything that came before it: nothing to hide.
        target_mask = causal_mask(target.size(1), length, target.device) if target.size(1) > 1 else None
        source_mask = padding_mask(state.source_mask)
        layers = []
        for layer, layer_state in zip(self.decoder, state.layers, strict=True):
            hidden, layer_state = self._through(layer, hidden, layer_state, target_mask, source_mask)
            layers.append(layer_state)
        return self.decoder_norm(hidden), TransformerState(tuple(layers), state.source_mask, length)

    def output_layer(self) -> tuple[Float[Tensor, "V D"], None]:
        """Score every target token by its product with its vector (Press & Wolf 2017: the input's, where tied)."""
        return (self.output_embedding or self.target_embedding).weight, None

    def _through(self, layer: nn.Module, *inputs: Any) -> Any:
        # Chen et al. 2016, "Training deep nets with sublinear memory cost"; dropout draws the same numbers again.
        if self.recompute and self.training:
            return checkpoint(layer, *inputs, use_reentrant=False)
        return layer(*inputs)


class EncoderLayer(nn.Module):
    """Self-attention, then the feed-forward network, each in a residual (section 3.1)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self_attention = _attention(config)
        self.feed_forward = FeedForward(config.d_model, config.d_ff)
        self.self_attention_residual = _residual(config)
        self.feed_forward_residual = _residual(config)

    def forward(self, hidden: Float[Tensor, "B S D"], mask: Bool[Tensor, "B 1 1 S"]) -> Float[Tensor, "B S D"]:
        """Read the source once more."""
        attention = self.self_attention
        hidden = self.self_attention_residual(hidden, lambda x: attention(x, attention.keys_values(x), mask))
        read: Tensor = self.feed_forward_residual(hidden, self.feed_forward)
        return read


class DecoderLayer(nn.Module):
    """Masked self-attention, attention to the source, then the feed-forward network (section 3.1)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self_attention = _attention(config)
        self.cross_attention = _attention(config)
        self.feed_forward = FeedForward(config.d_model, config.d_ff)
        self.self_attention_residual = _residual(config)
        self.cross_attention_residual = _residual(config)
        self.feed_forward_residual = _residual(config)

    def forward(
        self,
        hidden: Float[Tensor, "N T D"],
        state: LayerState,
        target_mask: Bool[Tensor, "T L"] | None,
        source_mask: Bool[Tensor, "N 1 1 S"],
    ) -> tuple[Float[Tensor, "N T D"], LayerState]:
        """Decode some tokens; return them with the keys and values of all tokens so far."""
        seen = state.target

        def attend_to_target(x: Tensor) -> Tensor:
            nonlocal seen
            new = self.self_attention.keys_values(x)
            seen = new if seen is None else seen.append(new)
            gathered: Tensor = self.self_attention(x, seen, target_mask)
            return gathered

        hidden = self.self_attention_residual(hidden, attend_to_target)
        hidden = self.cross_attention_residual(hidden, lambda x: self.cross_attention(x, state.source, source_mask))
        return self.feed_forward_residual(hidden, self.feed_forward), LayerState(seen, state.source)


def _attention(config: TransformerConfig) -> MultiHeadAttention:
    return MultiHeadAttention(config.d_model, config.num_heads, config.d_key, config.d_value)


def _residual(config: TransformerConfig) -> Residual:
    return Residual(config.d_model, config.dropout, config.norm)


def _positions(config: TransformerConfig) -> SinusoidalPositions | LearnedPositions:
    if config.positions == "learned":
        return LearnedPositions(config.d_model, config.max_positions)
    return SinusoidalPositions(config.d_model)


def _draw_linear(module: nn.Module) -> None:
    # Glorot's uniform draw, as in the authors' own code; torch's default is smaller and starts slower.
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)

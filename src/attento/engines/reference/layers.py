"""The layers of the Transformer in numpy (Vaswani et al. 2017, arXiv:1706.03762, section 3), and what they keep.

Hidden vectors are (N, T, D): N hypotheses of one sentence, each with T tokens.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attento.engines.packed.file import PackedModel
from attento.engines.packed.panels import Floats
from attento.engines.reference.linear import Ids, Linear, bfloat16
from attento.engines.reference.places import Relation
from attento.engines.reference.settings import GATED, FeedForward, ModelSettings

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class KeyValues:
    """Projected keys (N, G, L, K) and values (N, G, L, E) of the tokens seen so far, G heads of each."""

    keys: Floats
    values: Floats

    def append(self, later: "KeyValues") -> "KeyValues":
        """Return these, and the later ones behind them."""
        return KeyValues(
            np.concatenate((self.keys, later.keys), axis=2), np.concatenate((self.values, later.values), axis=2)
        )

    def select(self, rows: Ids) -> "KeyValues":
        """Return keys and values whose row i is row `rows[i]` of these."""
        return KeyValues(self.keys[rows], self.values[rows])


class Attention:
    """Several heads of attention (section 3.2.2), whose keys and values may be fewer (Ainslie et al. 2023).

    Where weights are not in float32, a decoder keeps keys and values in bfloat16: half the room.
    """

    def __init__(self, settings: ModelSettings, *, in_decoder: bool) -> None:
        self.settings = settings
        self.keeps_half = in_decoder and not settings.exact

    def widths(self) -> tuple[int, int, int]:
        """Return how wide the projected queries, keys and values of all heads are."""
        s = self.settings
        return s.num_heads * s.d_key, s.num_kv_heads * s.d_key, s.num_kv_heads * s.d_value

    def queries(self, projected: Floats) -> Floats:
        """Split into heads: (N, T, H*K) -> (N, H, T, K)."""
        return _split(projected, self.settings.num_heads)

    def keys_values(self, projected: Floats, relation: Relation) -> KeyValues:
        """Split keys and values that stand side by side, turn the keys, and round both as they are kept."""
        keys, values = np.split(projected, [self.widths()[1]], axis=-1)
        return KeyValues(
            self._kept(relation.rotate(_split(keys, self.settings.num_kv_heads))),
            self._kept(_split(values, self.settings.num_kv_heads)),
        )

    def gather(self, queries: Floats, seen: KeyValues, mask: Mask | None, relation: Relation) -> tuple[Floats, Floats]:
        """Attend and join the heads: (N, H, T, K) -> (N, H, T, E) -> (N, T, H*E); return the weights too."""
        context, weights = scaled_dot_product_attention(
            relation.rotate(queries), seen, mask, np.float32(self.settings.attention_scale), relation.bias
        )
        return context.swapaxes(1, 2).reshape(len(context), context.shape[2], -1), weights

    def _kept(self, heads: Floats) -> Floats:
        return bfloat16(heads) if self.keeps_half else heads


class SelfAttention(Attention):
    """Attention of a sequence to itself (section 3.2.3): one matrix makes queries, keys and values."""

    def __init__(self, file: PackedModel, name: str, settings: ModelSettings, *, in_decoder: bool) -> None:
        super().__init__(settings, in_decoder=in_decoder)
        s = settings
        self.qkv = Linear.read(file, f"{name}.qkv", sum(self.widths()), s.d_model)
        self.output = Linear.read(file, f"{name}.output", s.d_model, s.num_heads * s.d_value)

    def __call__(
        self, hidden: Floats, before: KeyValues | None, mask: Mask | None, relation: Relation
    ) -> tuple[Floats, KeyValues, Floats]:
        """Return what each token gathers, the keys and values of all seen tokens, and the weights of these tokens.

        Args:
            hidden: the new tokens, (N, T, D).
            before: what was seen before them.
            mask: what each new token may attend to, (T, L); everything if None.
            relation: how the new tokens stand to all that is seen.
        """
        queries, keys_values = np.split(self.qkv(hidden), [self.widths()[0]], axis=-1)
        new = self.keys_values(keys_values, relation)
        seen = new if before is None else before.append(new)
        context, weights = self.gather(self.queries(queries), seen, mask, relation)
        return self.output(context), seen, weights


class CrossAttention(Attention):
    """Attention of the target to the source (section 3.2.3), whose keys and values are projected once."""

    def __init__(self, file: PackedModel, name: str, settings: ModelSettings) -> None:
        super().__init__(settings, in_decoder=True)
        s, (queries, keys, values) = settings, self.widths()
        self.query = Linear.read(file, f"{name}.query", queries, s.d_model)
        self.project_source = Linear.read(file, f"{name}.keys_values", keys + values, s.d_model)
        self.output = Linear.read(file, f"{name}.output", s.d_model, s.num_heads * s.d_value)

    def start(self, memory: Floats) -> KeyValues:
        """Project the encoder's output."""
        return self.keys_values(self.project_source(memory), Relation())

    def __call__(self, hidden: Floats, source: KeyValues) -> tuple[Floats, Floats]:
        """Return what each token gathers from the source, and the weights, (N, H, T, S)."""
        context, weights = self.gather(self.queries(self.query(hidden)), source, None, Relation())
        return self.output(context), weights


def scaled_dot_product_attention(
    query: Floats, seen: KeyValues, mask: Mask | None, scale: np.float32, bias: Floats | None
) -> tuple[Floats, Floats]:
    """Compute softmax(scale Q K^T + bias) V (section 3.2.1, eq. 1): (N, H, T, K) -> (N, H, T, E), (N, H, T, L)."""
    heads_per_group = query.shape[1] // seen.keys.shape[1]
    keys, values = (np.repeat(each, heads_per_group, axis=1) for each in (seen.keys, seen.values))
    scores = query @ keys.swapaxes(-2, -1) * scale  # (N, H, T, L)
    if bias is not None:
        scores = scores + bias
    if mask is not None:
        scores = np.where(mask, scores, np.float32(-np.inf))
    weights = softmax(scores)
    return weights @ values, weights


def softmax(scores: Floats) -> Floats:
    """Return exp(x) / sum exp(x) over the last axis."""
    weights: Floats = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights


class FeedForwardNetwork:
    """max(0, x W1 + b1) W2 + b2 (section 3.3, eq. 2) with its activation, or (f(x W) * x V) W2 (Shazeer 2020)."""

    def __init__(self, file: PackedModel, layer: str, settings: ModelSettings) -> None:
        s = settings
        self.gated = s.feed_forward in GATED
        self.activation = ACTIVATIONS[s.feed_forward]
        self.inner = Linear.read(file, f"{layer}.inner", s.d_ff * (2 if self.gated else 1), s.d_model)
        self.outer = Linear.read(file, f"{layer}.outer", s.d_model, s.d_ff)

    def __call__(self, hidden: Floats) -> Floats:
        """Transform each position by itself."""
        inner = self.inner(hidden)
        if not self.gated:
            return self.outer(self.activation(inner))
        gate, inner = np.split(inner, 2, axis=-1)
        return self.outer(self.activation(gate) * inner)


def _relu(x: Floats) -> Floats:
    return np.maximum(x, np.float32(0))


def _erf(x: Floats) -> Floats:
    # Numpy has none.
    return np.array([math.erf(value) for value in x.flat], dtype=np.float32).reshape(x.shape)


def _gelu(x: Floats) -> Floats:
    return x * np.float32(0.5) * (_erf(x * np.float32(math.sqrt(0.5))) + np.float32(1))


def _gelu_tanh(x: Floats) -> Floats:
    share: Floats = np.tanh((x + x * x * x * np.float32(0.044715)) * np.float32(math.sqrt(2 / math.pi)))
    return x * np.float32(0.5) * (share + np.float32(1))


def _sigmoid(x: Floats) -> Floats:
    # As a tanh: exp(-x) may be too great for a float32.
    share: Floats = np.tanh(x * np.float32(0.5))
    return share * np.float32(0.5) + np.float32(0.5)


def _silu(x: Floats) -> Floats:
    return x * _sigmoid(x)


def _unchanged(x: Floats) -> Floats:
    return x


ACTIVATIONS: dict[FeedForward, Callable[[Floats], Floats]] = {
    "relu": _relu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
    "glu": _sigmoid,
    "reglu": _relu,
    "geglu": _gelu,
    "geglu_tanh": _gelu_tanh,
    "swiglu": _silu,
    "bilinear": _unchanged,
}
"""What the inner vector, or the gate, goes through; `nn.feed_forward` names the sources."""


class Norm:
    """Layer normalization (Ba et al. 2016, eq. 3 and 4), or without mean and bias (Zhang & Sennrich 2019, eq. 4)."""

    def __init__(self, file: PackedModel, name: str, settings: ModelSettings) -> None:
        self.centred = settings.normalization == "layer"
        self.epsilon = np.float32(settings.norm_epsilon)
        self.gain = file.floats(f"{name}.gain", (settings.d_model,))
        self.bias = file.floats(f"{name}.bias", (settings.d_model,)) if self.centred else np.float32(0)

    def __call__(self, hidden: Floats) -> Floats:
        """Normalize each vector."""
        if self.centred:
            hidden = hidden - hidden.mean(axis=-1, keepdims=True)
        mean_square = np.square(hidden).mean(axis=-1, keepdims=True)
        normalized: Floats = hidden / np.sqrt(mean_square + self.epsilon) * self.gain + self.bias
        return normalized


class Residual:
    """LayerNorm(x + Sublayer(x)) (section 3.1), or x + Sublayer(LayerNorm(x)) (Xiong et al. 2020)."""

    def __init__(self, file: PackedModel, name: str, settings: ModelSettings) -> None:
        self.normalize = Norm(file, name, settings)
        self.before = settings.norm == "pre"

    def __call__(self, hidden: Floats, sublayer: Callable[[Floats], Floats]) -> Floats:
        """Add what the sublayer makes."""
        if self.before:
            return hidden + sublayer(self.normalize(hidden))
        return self.normalize(hidden + sublayer(hidden))


@dataclass(frozen=True)
class LayerState:
    """What a layer keeps: keys and values of the sequence so far, and of the source where it attends to one.

    `look` is where the tokens looked that were read last: at the source, or at the sequence so far where there is none.
    """

    seen: KeyValues | None
    source: KeyValues | None
    look: Floats | None = None

    def select(self, rows: Ids) -> "LayerState":
        """Return a state whose row i is row `rows[i]` of this one; the source is the same for all rows."""
        return LayerState(None if self.seen is None else self.seen.select(rows), self.source)


class Layer:
    """Self-attention, in a decoder attention to the source if there is one, and the feed-forward network (section 3.1).

    A layer of the encoder is one that keeps nothing for later.
    """

    def __init__(self, file: PackedModel, name: str, settings: ModelSettings, *, in_decoder: bool) -> None:
        self.self_attention = SelfAttention(file, f"{name}.self_attention", settings, in_decoder=in_decoder)
        self.self_attention_residual = Residual(file, f"{name}.self_attention_norm", settings)
        self.cross_attention: CrossAttention | None = None
        if in_decoder and settings.architecture == "transformer":
            self.cross_attention = CrossAttention(file, f"{name}.cross_attention", settings)
            self.cross_attention_residual = Residual(file, f"{name}.cross_attention_norm", settings)
        self.feed_forward = FeedForwardNetwork(file, name, settings)
        self.feed_forward_residual = Residual(file, f"{name}.feed_forward_norm", settings)

    def start(self, memory: Floats | None = None) -> LayerState:
        """Return the state in which nothing is read but the source."""
        if self.cross_attention is None or memory is None:
            return LayerState(None, None)
        return LayerState(None, self.cross_attention.start(memory))

    def __call__(
        self, hidden: Floats, state: LayerState, mask: Mask | None, relation: Relation
    ) -> tuple[Floats, LayerState]:
        """Read some more tokens."""
        seen, look, cross, source = state.seen, state.look, self.cross_attention, state.source

        def attend(x: Floats) -> Floats:
            nonlocal seen, look
            gathered, seen, look = self.self_attention(x, state.seen, mask, relation)
            return gathered

        hidden = self.self_attention_residual(hidden, attend)
        if cross is not None and source is not None:

            def attend_to_source(x: Floats) -> Floats:
                nonlocal look
                gathered, look = cross(x, source)
                return gathered

            hidden = self.cross_attention_residual(hidden, attend_to_source)
        return self.feed_forward_residual(hidden, self.feed_forward), LayerState(seen, source, look)


def _split(projected: Floats, heads: int) -> Floats:
    """Split into heads: (N, T, H*K) -> (N, H, T, K)."""
    rows, length, _ = projected.shape
    return projected.reshape(rows, length, heads, -1).swapaxes(1, 2)

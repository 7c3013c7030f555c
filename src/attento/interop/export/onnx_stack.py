"""One stack of our Transformer layers as ONNX operators: encoder or decoder, token vectors to hidden vectors.

What `models.layers` and `nn` compute, with lengths known only when the graph runs. Heads are (B, G, R, L, K): G groups
of R heads that share keys and values. Masks and biases are one tensor that is added to the scores.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attento.interop.export.onnx_graph import Graph
from attento.interop.export.stacks import StackNames, StacksConfig
from attento.nn.relation import RotaryScaling, distance_buckets, linear_slopes

_MASKED = float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class Places:
    """Where tokens stand, as values of a graph: the new ones, and how far before each of them each seen one stands."""

    new: str
    distances: str


@dataclass(frozen=True)
class Rotation:
    """Cosines and sines of the new tokens' angles, (T, P)."""

    cosines: str
    sines: str


def places(graph: Graph, ids: str, past: str | None = None) -> Places:
    """Return the places of tokens that follow on those whose keys are `past`; see `nn.relation.Places`."""
    zero, one = graph.constant(0, np.int64), graph.constant(1, np.int64)
    start = zero if past is None else graph.length(past, 2)
    end = graph.op("Add", start, graph.length(ids, 1))
    new, seen = graph.op("Range", start, end, one), graph.op("Range", zero, end, one)
    return Places(new, graph.op("Sub", graph.insert_axes(new, 1), graph.insert_axes(seen, 0)))


def added_mask(graph: Graph, mask: str) -> str:
    """Return what makes the softmax blind where a Boolean mask is false."""
    return graph.op("Where", mask, graph.constant(0), graph.constant(_MASKED))


class StackGraph:
    """The parts of one stack, each added to a graph when it is called."""

    def __init__(
        self, graph: Graph, config: StacksConfig, names: StackNames, weights: Mapping[str, Tensor], *, both_ways: bool
    ) -> None:
        """Take what the stack is made of; `both_ways` where tokens see what comes after them."""
        self.graph, self.config, self.names, self.weights = graph, config, names, weights
        self.both_ways = both_ways
        self.groups = config.num_kv_heads or config.num_heads
        self.shared = config.num_heads // self.groups
        self.d_key = config.d_key or config.d_model // config.num_heads
        self.d_value = config.d_value or config.d_model // config.num_heads

    def embed(self, ids: str, embedding: str, at: Places) -> str:
        """Return token vectors with their positions."""
        graph, config = self.graph, self.config
        hidden = graph.op("Gather", self._table(embedding), ids)
        if config.scale_embeddings:
            hidden = graph.op("Mul", hidden, graph.constant(math.sqrt(config.d_model)))
        if config.positions == "learned":
            hidden = graph.op("Add", hidden, graph.op("Gather", self._table(f"{self.names.positions}.weight"), at.new))
        elif config.positions == "sinusoidal":
            hidden = graph.op("Add", hidden, self._sinusoids(at.new))
        return self.norm(hidden, self.names.embedding_norm) if config.embedding_norm else hidden

    def rotation(self, at: Places) -> Rotation | None:
        """Return the angles by which queries and keys are turned, computed in float64; None where they are not."""
        if self.config.positions != "rotary":
            return None
        base, scaling = self.config.rotary.base, self.config.rotary.scaling
        angles = [base ** (-pair / self.d_key) for pair in range(0, self.d_key, 2)]
        if scaling is not None:
            angles = [RotaryScaling(**scaling.model_dump()).apply(angle) for angle in angles]
        quarter = [math.pi / 2] * len(angles)
        return Rotation(self._waves(at.new, angles, quarter), self._waves(at.new, angles, [0.0] * len(angles)))

    def added(self, at: Places) -> str:
        """Return what is added to the scores of self-attention: the bias of distances, and the mask of the window.

        It hides what comes after a token, too, unless the stack looks both ways.
        """
        graph, window = self.graph, self.config.sliding_window
        visible = []
        if not self.both_ways:
            visible.append(graph.op("GreaterOrEqual", at.distances, graph.constant(0, np.int64)))
        if window is not None:
            visible.append(graph.op("Less", graph.op("Abs", at.distances), graph.constant(window, np.int64)))
        parts = [added_mask(graph, mask) for mask in visible]
        if self.config.positions in ("alibi", "relative"):
            parts.append(self._bias(at.distances))
        total = parts[0] if parts else graph.constant(0)
        for part in parts[1:]:
            total = graph.op("Add", total, part)
        return total

    def norm(self, hidden: str, name: str) -> str:
        """Normalize; see `nn.normalization`."""
        graph, epsilon = self.graph, self.config.norm_epsilon
        match self.config.normalization:
            case "layer":
                gain, bias = self._table(f"{name}.weight"), self._table(f"{name}.bias")
                return graph.op("LayerNormalization", hidden, gain, bias, axis=-1, epsilon=epsilon)
            case "rms":
                square = graph.op("ReduceMean", graph.op("Mul", hidden, hidden), graph.constant([-1], np.int64))
                root = graph.op("Sqrt", graph.op("Add", square, graph.constant(epsilon)))
                return graph.op("Mul", graph.op("Div", hidden, root), self._table(f"{name}.weight"))
            case "batch":
                variance = self.weights[f"{name}.running_variance"]
                factor = self.weights[f"{name}.weight"] * (variance + epsilon).rsqrt()
                centred = graph.op("Sub", hidden, self._table(f"{name}.running_mean"))
                scaled = graph.op("Mul", centred, graph.weight(f"{name}.factor", factor.numpy()))
                return graph.op("Add", scaled, self._table(f"{name}.bias"))

    def residual(self, hidden: str, name: str, sublayer: Callable[[str], str]) -> str:
        """Stand around a sublayer; see `nn.residual`."""
        before = self.norm(hidden, f"{name}.norm") if self.config.norm == "pre" else hidden
        made = sublayer(before)
        if self.config.residual:
            made = self.graph.op("Add", hidden, made)
        return self.norm(made, f"{name}.norm") if self.config.norm == "post" else made

    def keys_values(self, memory: str, name: str, rotation: Rotation | None = None) -> tuple[str, str]:
        """Project keys and values, (B, G, L, K) and (B, G, L, E)."""
        graph = self.graph
        keys = graph.reshape(self._project(memory, name, "key"), [0, 0, self.groups, self.d_key])
        values = graph.reshape(self._project(memory, name, "value"), [0, 0, self.groups, self.d_value])
        keys, values = (graph.op("Transpose", each, perm=(0, 2, 1, 3)) for each in (keys, values))
        return self._rotate(keys, rotation), values

    def attend(
        self, hidden: str, name: str, keys: str, values: str, added: str, rotation: Rotation | None = None
    ) -> str:
        """Gather values where queries find keys; see `nn.attention`."""
        graph = self.graph
        query = graph.reshape(self._project(hidden, name, "query"), [0, 0, self.groups, self.shared, self.d_key])
        query = self._rotate(graph.op("Transpose", query, perm=(0, 2, 3, 1, 4)), rotation)
        if self.config.scores != "unscaled":
            query = graph.op("Mul", query, graph.constant(1 / math.sqrt(self.d_key)))
        columns = graph.op("Transpose", graph.insert_axes(keys, 2), perm=(0, 1, 2, 4, 3))
        scores = graph.op("Add", graph.op("MatMul", query, columns), added)
        context = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), graph.insert_axes(values, 2))
        context = graph.op("Transpose", context, perm=(0, 3, 1, 2, 4))  # (B, G, R, T, E) -> (B, T, G, R, E)
        context = graph.reshape(context, [0, 0, self.config.num_heads * self.d_value])
        return self._project(context, name, "output")

    def feed_forward(self, hidden: str, layer: str) -> str:
        """Transform each place by itself, in its residual; see `nn.feed_forward`."""
        network, kind = f"{layer}.feed_forward", self.config.feed_forward
        if kind == "none":
            return hidden

        def transform(x: str) -> str:
            inner = self._linear(x, f"{network}.inner")
            if f"{network}.gate.weight" in self.weights:
                inner = self.graph.op("Mul", self._activate(self._linear(x, f"{network}.gate"), kind), inner)
            else:
                inner = self._activate(inner, kind)
            return self._linear(inner, f"{network}.outer")

        return self.residual(hidden, f"{layer}.feed_forward_residual", transform)

    def last_norm(self, hidden: str) -> str:
        """Normalize at the end of the stack, where it does."""
        return self.norm(hidden, self.names.last_norm) if self.config.norm == "pre" else hidden

    def logits(self, hidden: str) -> str:
        """Score every token."""
        own = "output_embedding.weight"
        table = self._table(own if own in self.weights else f"{self.names.embedding}.weight")
        logits = self.graph.op("MatMul", hidden, self.graph.op("Transpose", table, perm=(1, 0)))
        if "output_bias" not in self.weights:
            return logits
        return self.graph.op("Add", logits, self._table("output_bias"))

    def _table(self, name: str) -> str:
        return self.graph.weight(name, self.weights[name].numpy())

    def _linear(self, hidden: str, name: str) -> str:
        matrix = self.graph.weight(f"{name}.weight", self.weights[f"{name}.weight"].numpy().T)
        product = self.graph.op("MatMul", hidden, matrix)
        if f"{name}.bias" not in self.weights:
            return product
        return self.graph.op("Add", product, self._table(f"{name}.bias"))

    def _project(self, hidden: str, attention: str, part: str) -> str:
        if self.config.scores == "uniform" and part in ("query", "key"):
            heads = self.groups if part == "key" else self.config.num_heads
            zeros = self.graph.weight(f"no_{part}", np.zeros((self.config.d_model, heads * self.d_key), np.float32))
            return self.graph.op("MatMul", hidden, zeros)
        return self._linear(hidden, f"{attention}.{part}") if self.config.projections else hidden

    def _rotate(self, heads: str, rotation: Rotation | None) -> str:
        """Turn pairs of features; the two of each pair come to stand half a head apart, in queries and keys alike."""
        if rotation is None:
            return heads
        first, second = self._pairs(heads)
        op = self.graph.op
        turned = (
            op("Sub", op("Mul", first, rotation.cosines), op("Mul", second, rotation.sines)),
            op("Add", op("Mul", first, rotation.sines), op("Mul", second, rotation.cosines)),
        )
        return op("Concat", *turned, axis=-1)

    def _pairs(self, heads: str) -> tuple[str, str]:
        half, interleaved = self.d_key // 2, self.config.position_layout == "interleaved"
        slices = [(0, self.d_key, 2), (1, self.d_key, 2)] if interleaved else [(0, half, 1), (half, self.d_key, 1)]
        first, second = (
            self.graph.op(
                "Slice", heads, *(self.graph.constant([number], np.int64) for number in (start, end, -1, step))
            )
            for start, end, step in slices
        )
        return first, second

    def _activate(self, hidden: str, kind: str) -> str:
        op = self.graph.op
        match kind:
            case "relu" | "reglu":
                return op("Relu", hidden)
            case "gelu" | "geglu":
                return op("Gelu", hidden)
            case "gelu_tanh" | "geglu_tanh":
                return op("Gelu", hidden, approximate="tanh")
            case "silu" | "swiglu":
                return op("Mul", hidden, op("Sigmoid", hidden))
            case "glu":
                return op("Sigmoid", hidden)
            case _:
                return hidden

    def _sinusoids(self, new: str) -> str:
        """Return the rows of `nn.positions.sinusoidal_table`, cosines as sines a quarter of a turn ahead."""
        d_model = self.config.d_model
        angles = [math.exp(-math.log(10000.0) * even / d_model) for even in range(0, d_model, 2)]
        waves = [(angle, phase) for angle in angles for phase in (0.0, math.pi / 2)][:d_model]
        if self.config.position_layout == "halves":
            waves = sorted(waves, key=lambda wave: wave[1])
        return self._waves(new, [angle for angle, _ in waves], [phase for _, phase in waves])

    def _waves(self, new: str, angles: list[float], phases: list[float]) -> str:
        graph = self.graph
        turned = graph.op("Mul", graph.insert_axes(graph.cast(new, np.float64), 1), graph.constant(angles, np.float64))
        return graph.cast(graph.op("Sin", graph.op("Add", turned, graph.constant(phases, np.float64))), np.float32)

    def _bias(self, distances: str) -> str:
        """Return what is added for distances, (G, R, T, L)."""
        graph = self.graph
        if self.config.positions == "alibi":
            slopes = -np.reshape(linear_slopes(self.config.num_heads), (self.groups, self.shared, 1, 1))
            return graph.op("Mul", graph.constant(slopes), graph.cast(graph.op("Abs", distances), np.float32))
        relative = self.config.relative
        # From the greatest distance on all share one bucket, so that a row for each smaller one is enough.
        far = relative.max_distance
        every = torch.arange(-far, far + 1)[None, None]
        buckets = distance_buckets(every, relative.buckets, far, self.both_ways)[0, 0]
        table = self.weights[f"{self.names.relations}.weight"][buckets]
        near = graph.op("Clip", distances, graph.constant(-far, np.int64), graph.constant(far, np.int64))
        row = graph.op("Add", near, graph.constant(far, np.int64))
        by_group = table.numpy().reshape(-1, self.groups, self.shared)
        found = graph.op("Gather", graph.weight(f"{self.names.relations}.by_distance", by_group), row)
        return graph.op("Transpose", found, perm=(2, 3, 0, 1))  # (T, L, G, R) -> (G, R, T, L)

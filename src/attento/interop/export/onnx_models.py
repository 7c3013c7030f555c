"""Our Transformers as ONNX models: an encoder, and a decoder that goes on from keys and values that it is given."""

from collections.abc import Mapping

import numpy as np
import onnx
from torch import Tensor

from attento.interop.export.onnx_graph import Graph
from attento.interop.export.onnx_stack import Rotation, StackGraph, added_mask, places
from attento.interop.export.stacks import READER, TEXT, WRITER, StacksConfig
from attento.models.translation.config import TransformerConfig

Weights = Mapping[str, Tensor]


def make_encoder(config: TransformerConfig, weights: Weights) -> onnx.ModelProto:
    """Make the model that reads a source: ids and mask to memory, and to the decoder's keys and values of it."""
    graph = Graph("encoder")
    ids = graph.input("source_ids", np.int64, ["batch", "source"])
    mask = graph.input("source_mask", np.bool_, ["batch", "source"])
    stack = StackGraph(graph, config, READER, weights, both_ways=True)
    at = places(graph, ids)
    own = f"{READER.embedding}.weight"
    hidden = stack.embed(ids, own if own in weights else f"{WRITER.embedding}.weight", at)
    rotation = stack.rotation(at)
    added = graph.op("Add", stack.added(at), added_mask(graph, graph.insert_axes(mask, 1, 2, 3)))
    for number in range(config.encoder_layers):
        hidden, _ = _self_attention(stack, hidden, number, rotation, added)
        hidden = stack.feed_forward(hidden, f"{READER.layers}.{number}")
    memory = stack.last_norm(hidden)
    graph.output(memory, "memory", np.float32, ["batch", "source", config.d_model])
    writer = StackGraph(graph, config, WRITER, weights, both_ways=False)
    for number in range(config.decoder_layers):
        pair = writer.keys_values(memory, f"{WRITER.layers}.{number}.cross_attention")
        _give_out(writer, pair, "cross_", number, "source")
    return graph.model()


def make_decoder(config: StacksConfig, weights: Weights) -> onnx.ModelProto:
    """Make the model that writes: the next tokens and what went before, to logits and what goes before the next ones.

    A language model's has no source: no `source_mask`, no `cross_key_0` and so on.
    """
    graph = Graph("decoder")
    reads_source = isinstance(config, TransformerConfig)
    names, layers = (WRITER, config.decoder_layers) if isinstance(config, TransformerConfig) else (TEXT, config.layers)
    stack = StackGraph(graph, config, names, weights, both_ways=False)
    ids = graph.input("target_ids", np.int64, ["batch", "target"])
    if reads_source:
        mask = graph.input("source_mask", np.bool_, ["batch", "source"])
        to_source = added_mask(graph, graph.insert_axes(mask, 1, 2, 3))
    past = [_take_in(stack, "past_", number, "past") for number in range(layers)]
    at = places(graph, ids, past[0][0])
    hidden = stack.embed(ids, f"{names.embedding}.weight", at)
    rotation, added = stack.rotation(at), stack.added(at)
    present = []
    for number in range(layers):
        hidden, pair = _self_attention(stack, hidden, number, rotation, added, past[number])
        present.append(pair)
        if reads_source:
            hidden = _cross_attention(stack, hidden, number, to_source)
        hidden = stack.feed_forward(hidden, f"{names.layers}.{number}")
    logits = stack.logits(stack.last_norm(hidden))
    graph.output(logits, "logits", np.float32, ["batch", "target", weights[f"{names.embedding}.weight"].size(0)])
    for number, pair in enumerate(present):
        _give_out(stack, pair, "", number, "seen")
    return graph.model()


def _self_attention(
    stack: StackGraph,
    hidden: str,
    number: int,
    rotation: Rotation | None,
    added: str,
    past: tuple[str, str] | None = None,
) -> tuple[str, tuple[str, str]]:
    """Attend within the sequence; return also the keys and values of all that was seen."""
    name = f"{stack.names.layers}.{number}.self_attention"
    seen = "", ""

    def attend(x: str) -> str:
        nonlocal seen
        seen = stack.keys_values(x, name, rotation)
        if past is not None:
            keys, values = (stack.graph.op("Concat", *pair, axis=2) for pair in zip(past, seen, strict=True))
            seen = keys, values
        return stack.attend(x, name, *seen, added, rotation)

    return stack.residual(hidden, f"{name}_residual", attend), seen


def _cross_attention(stack: StackGraph, hidden: str, number: int, to_source: str) -> str:
    """Attend to the source, whose keys and values come in."""
    name = f"{stack.names.layers}.{number}.cross_attention"
    keys, values = _take_in(stack, "cross_", number, "source")
    return stack.residual(hidden, f"{name}_residual", lambda x: stack.attend(x, name, keys, values, to_source))


def _take_in(stack: StackGraph, prefix: str, number: int, axis: str) -> tuple[str, str]:
    keys, values = (
        stack.graph.input(f"{prefix}{kind}_{number}", np.float32, ["batch", stack.groups, axis, width])
        for kind, width in (("key", stack.d_key), ("value", stack.d_value))
    )
    return keys, values


def _give_out(stack: StackGraph, pair: tuple[str, str], prefix: str, number: int, axis: str) -> None:
    for value, kind, width in zip(pair, ("key", "value"), (stack.d_key, stack.d_value), strict=True):
        stack.graph.output(value, f"{prefix}{kind}_{number}", np.float32, ["batch", stack.groups, axis, width])

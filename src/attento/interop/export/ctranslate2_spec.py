"""A Transformer of ours as a specification of CTranslate2's, which is a tree of named weights and numbers."""

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import torch
from ctranslate2.specs import common_spec, transformer_spec
from ctranslate2.specs.attention_spec import RotaryScalingType
from torch import Tensor

from attento.interop.export.stacks import READER, TEXT, WRITER, StackNames, StacksConfig
from attento.models.language.config import DecoderOnlyConfig
from attento.models.stack_config import RotaryScalingConfig
from attento.models.translation.config import TransformerConfig
from attento.nn.names import Gated
from attento.nn.positions import sinusoidal_table

Weights = Mapping[str, Tensor]

POSITIONS = 2048
"""How many positions are written for a model that knows no end of them."""
_ACTIVATIONS = {
    "relu": "RELU",
    "gelu": "GELU",
    "gelu_tanh": "GELUTanh",
    "silu": "SWISH",
    "glu": "Sigmoid",
    "reglu": "RELU",
    "geglu": "GELU",
    "geglu_tanh": "GELUTanh",
    "swiglu": "SWISH",
}


def make_translation_spec(config: TransformerConfig, weights: Weights) -> Any:
    """Make the specification of a translation model; vocabularies are still to be registered."""
    options = _options(config)
    encoder = transformer_spec.TransformerEncoderSpec(config.encoder_layers, config.num_heads, **options)
    decoder = transformer_spec.TransformerDecoderSpec(config.decoder_layers, config.num_heads, **options)
    source = READER if f"{READER.embedding}.weight" in weights else WRITER
    encoder.embeddings[0].weight = weights[f"{source.embedding}.weight"]
    _fill_stack(encoder, READER, config, weights)
    _fill_decoder(decoder, WRITER, config, weights)
    spec = transformer_spec.TransformerSpec(encoder, decoder)
    spec.config.layer_norm_epsilon = config.norm_epsilon
    return spec


def make_language_spec(config: DecoderOnlyConfig, weights: Weights) -> Any:
    """Make the specification of a language model; its vocabulary is still to be registered."""
    options = _options(config) | {"with_encoder_attention": False, "alibi": config.positions == "alibi"}
    decoder = transformer_spec.TransformerDecoderSpec(config.layers, config.num_heads, **options)
    _fill_decoder(decoder, TEXT, config, weights)
    spec = transformer_spec.TransformerDecoderModelSpec(decoder)
    spec.config.layer_norm_epsilon = config.norm_epsilon
    return spec


def _options(config: StacksConfig) -> dict[str, Any]:
    options = {
        "pre_norm": config.norm == "pre",
        "activation": common_spec.Activation[_ACTIVATIONS[config.feed_forward]],
        "layernorm_embedding": config.embedding_norm,
        "relative_attention_bias": config.positions == "relative",
        "ffn_glu": config.feed_forward in get_args(Gated),
        "rms_norm": config.normalization == "rms",
        "num_heads_kv": config.num_kv_heads,
        "head_dim": config.d_key,
    }
    if config.positions == "rotary":
        # 0: all features of a head.
        options |= {"rotary_dim": 0, "rotary_interleave": config.position_layout == "interleaved"}
        options |= {"rotary_base": config.rotary.base} | _scaling_options(config.rotary.scaling)
    return options


def _scaling_options(scaling: RotaryScalingConfig | None) -> dict[str, Any]:
    if scaling is None:
        return {}
    kind = RotaryScalingType.Linear if scaling.kind == "linear" else RotaryScalingType.Llama3
    return {"rotary_scaling_type": kind, "rotary_scaling_factor": scaling.factor}


def _fill_decoder(spec: Any, names: StackNames, config: StacksConfig, weights: Weights) -> None:
    spec.embeddings.weight = weights[f"{names.embedding}.weight"]
    _fill_stack(spec, names, config, weights)
    spec.projection.weight = weights.get("output_embedding.weight", spec.embeddings.weight)
    if "output_bias" in weights:
        spec.projection.bias = weights["output_bias"]


def _fill_stack(spec: Any, names: StackNames, config: StacksConfig, weights: Weights) -> None:
    spec.scale_embeddings = config.scale_embeddings
    if config.positions in ("sinusoidal", "learned", "none"):
        spec.position_encodings.encodings = _positions(names, config, weights)
    if config.embedding_norm:
        _fill_norm(spec.layernorm_embedding, weights, names.embedding_norm)
    if config.norm == "pre":
        _fill_norm(spec.layer_norm, weights, names.last_norm)
    for number, layer in enumerate(spec.layer):
        _fill_layer(layer, weights, f"{names.layers}.{number}", config)
        if config.positions == "relative":
            # One table, shared by all layers of a stack.
            layer.self_attention.relative_attention_bias = weights[f"{names.relations}.weight"]
            layer.self_attention.relative_attention_max_distance = np.int32(config.relative.max_distance)


def _fill_layer(spec: Any, weights: Weights, name: str, config: StacksConfig) -> None:
    _fill_attention(spec.self_attention, weights, name, "self_attention", [["query", "key", "value"], ["output"]])
    attentions = [spec.self_attention]
    if hasattr(spec, "attention"):
        parts = [["query"], ["key", "value"], ["output"]]
        _fill_attention(spec.attention, weights, name, "cross_attention", parts)
        attentions.append(spec.attention)
    if config.scores == "unscaled":
        for attention in attentions:
            attention.queries_scale = 1.0
    if config.positions == "rotary" and config.rotary.scaling is not None:
        _fill_scaling(spec.self_attention, config.rotary.scaling)
    _fill_feed_forward(spec.ffn, weights, name)


def _fill_scaling(spec: Any, scaling: RotaryScalingConfig) -> None:
    if scaling.kind == "llama3":
        spec.rotary_low_freq_factor, spec.rotary_high_freq_factor = scaling.low, scaling.high
        # Two numbers that the engine reads, though the specification does not know them here.
        vars(spec)["rotary_scaling_factor"] = np.float32(scaling.factor)
        vars(spec)["original_max_position_embeddings"] = np.int32(scaling.original_length)


def _fill_attention(spec: Any, weights: Weights, layer: str, part: str, maps: list[list[str]]) -> None:
    _fill_norm(spec.layer_norm, weights, f"{layer}.{part}_residual.norm")
    for linear, joined in zip(spec.linear, maps, strict=True):
        _fill_linear(linear, weights, *(f"{layer}.{part}.{name}" for name in joined))


def _fill_feed_forward(spec: Any, weights: Weights, layer: str) -> None:
    _fill_norm(spec.layer_norm, weights, f"{layer}.feed_forward_residual.norm")
    network = f"{layer}.feed_forward"
    if hasattr(spec, "linear_0_noact"):
        _fill_linear(spec.linear_0, weights, f"{network}.gate")
        _fill_linear(spec.linear_0_noact, weights, f"{network}.inner")
    else:
        _fill_linear(spec.linear_0, weights, f"{network}.inner")
    _fill_linear(spec.linear_1, weights, f"{network}.outer")


def _fill_linear(spec: Any, weights: Weights, *names: str) -> None:
    """Fill a linear map; where several read one input, with all of them, one behind the other."""
    spec.weight = torch.cat([weights[f"{name}.weight"] for name in names])
    if f"{names[0]}.bias" in weights:
        spec.bias = torch.cat([weights[f"{name}.bias"] for name in names])


def _fill_norm(spec: Any, weights: Weights, name: str) -> None:
    spec.gamma = weights[f"{name}.weight"]
    if f"{name}.bias" in weights:
        spec.beta = weights[f"{name}.bias"]


def _positions(names: StackNames, config: StacksConfig, weights: Weights) -> Tensor:
    if config.positions == "learned":
        return weights[f"{names.positions}.weight"]
    if config.positions == "none":
        return torch.zeros(POSITIONS, config.d_model)
    # Written out: its own sinusoids are others.
    return sinusoidal_table(POSITIONS, config.d_model, layout=config.position_layout)

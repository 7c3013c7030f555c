"""Settings and weights of our Transformers under the names that they have in the native engine's model file."""

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias, get_args

import numpy as np
from torch import Tensor

from attento.engines.packed.panels import COMPUTE_NUMBERS, ComputeType, Floats, StoredTensor, pack_matrix, store
from attento.engines.reference.places import Layout
from attento.engines.reference.settings import FeedForward, Normalization, NormOrder, Positions
from attento.interop.export.base import TrainedModel
from attento.interop.export.stacks import READER, TEXT, WRITER, StackNames
from attento.models.base import EncoderDecoder
from attento.models.language.config import DecoderOnlyConfig
from attento.models.translation.config import DecoderOnlyTranslationConfig, TransformerConfig
from attento.nn.relation import RotaryScaling, linear_slopes
from attento.text.special import BOS_ID, EOS_ID, PAD_ID, UNK_ID

NativeConfig: TypeAlias = TransformerConfig | DecoderOnlyTranslationConfig | DecoderOnlyConfig
"""The settings of the models that the engine knows."""

# In the order of the reader's `Architecture`.
_ARCHITECTURES = (TransformerConfig, DecoderOnlyTranslationConfig, DecoderOnlyConfig)
# A translation model of one stack: what it reads and writes goes through the writer's.
_ONE_STACK = StackNames("target_embedding", "positions", "relations", "embedding_norm", "decoder", "decoder_norm")
_WRITERS: dict[type, StackNames] = {
    TransformerConfig: WRITER,
    DecoderOnlyTranslationConfig: _ONE_STACK,
    DecoderOnlyConfig: TEXT,
}


def head_widths(config: NativeConfig) -> tuple[int, int]:
    """Return how wide one head's keys and values are."""
    shared = config.d_model // config.num_heads
    return config.d_key or shared, config.d_value or shared


def native_settings(run: TrainedModel, config: NativeConfig, compute_type: ComputeType) -> dict[str, float]:
    """Return the settings of the file; choices are numbers, and a limit that is not there is 0."""
    d_key, d_value = head_widths(config)
    relative = config.relative if config.positions == "relative" else None
    if isinstance(run.model, EncoderDecoder):
        limits = run.model.max_source_length, run.model.max_target_length
    else:
        limits = None, run.model.max_length
    stacks = (
        (config.encoder_layers, config.decoder_layers) if isinstance(config, TransformerConfig) else (0, config.layers)
    )
    return {
        "architecture": _ARCHITECTURES.index(type(config)),
        "compute_type": COMPUTE_NUMBERS[compute_type],
        "d_model": config.d_model,
        "d_ff": config.d_ff,
        "num_heads": config.num_heads,
        "num_kv_heads": config.num_kv_heads or config.num_heads,
        "d_key": d_key,
        "d_value": d_value,
        "encoder_layers": stacks[0],
        "decoder_layers": stacks[1],
        "source_vocab_size": run.tokenizers.source.vocab_size,
        "target_vocab_size": run.tokenizers.target.vocab_size,
        "feed_forward": get_args(FeedForward).index(config.feed_forward),
        "normalization": get_args(Normalization).index(config.normalization),
        "norm_epsilon": config.norm_epsilon,
        "norm": get_args(NormOrder).index(config.norm),
        "positions": get_args(Positions).index(config.positions),
        "position_layout": get_args(Layout).index(config.position_layout),
        "attention_scale": 1.0 if config.scores == "unscaled" else 1 / math.sqrt(d_key),
        "embedding_scale": math.sqrt(config.d_model) if config.scale_embeddings else 1.0,
        "embedding_norm": config.embedding_norm,
        "source_sees_all": isinstance(config, DecoderOnlyTranslationConfig) and config.source_sees == "all",
        "relative_buckets": 0 if relative is None else relative.buckets,
        "relative_max_distance": 0 if relative is None else relative.max_distance,
        "max_source_length": limits[0] or 0,
        "max_target_length": limits[1] or 0,
        "bos_id": BOS_ID,
        "eos_id": EOS_ID,
        "pad_id": PAD_ID,
        "unk_id": UNK_ID,
    }


class NativeTensors:
    """The tensors of one model's file, made part by part."""

    def __init__(self, config: NativeConfig, weights: Mapping[str, Tensor], compute_type: ComputeType) -> None:
        """Make all of them."""
        self.made: dict[str, StoredTensor] = {}
        self._config, self._compute_type = config, compute_type
        self._weights = {name: tensor.detach().float().numpy() for name, tensor in weights.items()}
        writer = _WRITERS[type(config)]
        self._embeddings(writer.embedding)
        if isinstance(config, TransformerConfig):
            self._stack(READER, config.encoder_layers, READER)
            self._stack(writer, config.decoder_layers, WRITER)
        else:
            self._stack(writer, config.layers, WRITER)
        self._fixed_tables()

    def _embeddings(self, target: str) -> None:
        own_output = "output_embedding.weight" in self._weights
        bias = self._weights.get("output_bias")
        self._add("target_embedding", self._weights[f"{target}.weight"], None if own_output else bias)
        if own_output:
            self._add("output", self._weights["output_embedding.weight"], bias)
        if f"{READER.embedding}.weight" in self._weights:
            self._add("source_embedding", self._weights[f"{READER.embedding}.weight"], None)

    def _stack(self, ours: StackNames, layers: int, theirs: StackNames) -> None:
        if self._config.embedding_norm:
            self._norm(theirs.embedding_norm, ours.embedding_norm)
        if self._config.norm == "pre":
            self._norm(theirs.last_norm, ours.last_norm)
        for theirs_table, ours_table in ((theirs.positions, ours.positions), (theirs.relations, ours.relations)):
            if f"{ours_table}.weight" in self._weights:
                self.made[theirs_table] = store(self._weights[f"{ours_table}.weight"])
        for layer in (f"{ours.layers}.{number}" for number in range(layers)):
            self._attentions(layer)
            network = f"{layer}.feed_forward"
            gate = [f"{network}.gate"] if f"{network}.gate.weight" in self._weights else []
            self._linear(f"{layer}.inner", [*gate, f"{network}.inner"])
            self._linear(f"{layer}.outer", [f"{network}.outer"])
            self._norm(f"{layer}.feed_forward_norm", f"{layer}.feed_forward_residual.norm")

    def _attentions(self, layer: str) -> None:
        maps = {
            "self_attention": {"qkv": ("query", "key", "value"), "output": ("output",)},
            "cross_attention": {"query": ("query",), "keys_values": ("key", "value"), "output": ("output",)},
        }
        for kind, joined in maps.items():
            if f"{layer}.{kind}.query.weight" in self._weights:
                for name, parts in joined.items():
                    self._linear(f"{layer}.{kind}.{name}", [f"{layer}.{kind}.{part}" for part in parts])
                self._norm(f"{layer}.{kind}_norm", f"{layer}.{kind}_residual.norm")

    def _fixed_tables(self) -> None:
        if self._config.positions == "alibi":
            self.made["alibi_slopes"] = store(np.array(linear_slopes(self._config.num_heads), np.float32))
        if self._config.positions == "rotary":
            self.made["rotary_angles"] = store(np.array(rotary_angles(self._config)))

    def _linear(self, name: str, ours: Sequence[str]) -> None:
        """Add a linear map; where several read one input, all of them, the outputs of one behind those of the other."""
        weight = np.concatenate([self._weights[f"{part}.weight"] for part in ours])
        biases = [self._weights[f"{part}.bias"] for part in ours if f"{part}.bias" in self._weights]
        self._add(name, weight, np.concatenate(biases) if biases else None)

    def _norm(self, name: str, ours: str) -> None:
        self.made[f"{name}.gain"] = store(self._weights[f"{ours}.weight"])
        if f"{ours}.bias" in self._weights:
            self.made[f"{name}.bias"] = store(self._weights[f"{ours}.bias"])

    def _add(self, name: str, weight: Floats, bias: Floats | None) -> None:
        self.made |= pack_matrix(name, weight, self._compute_type, bias)


def rotary_angles(config: NativeConfig) -> list[float]:
    """Return by how much each pair of a head's features is turned from place to place, in radians."""
    width, _ = head_widths(config)
    angles = [config.rotary.base ** (-pair / width) for pair in range(0, width, 2)]
    if config.rotary.scaling is None:
        return angles
    scaling = RotaryScaling(**config.rotary.scaling.model_dump())
    return [scaling.apply(angle) for angle in angles]

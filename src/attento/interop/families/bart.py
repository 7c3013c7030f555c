"""BART as an encoder-decoder.

Lewis et al. 2020, "BART: Denoising sequence-to-sequence pre-training for natural language generation, translation, and
comprehension" (arXiv:1910.13461), section 2.1.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attento.interop.families.shared import (
    ACTIVATIONS,
    TOKENIZER_FILE,
    no_tokenizer,
    rebuild,
    tokens_of,
    weight_and_bias,
)
from attento.interop.family import Family, ForeignVocabulary, Weight
from attento.interop.foreign_config import ForeignConfig
from attento.interop.hub_folder import read_json
from attento.interop.vocabulary import Renumbering

_PROJECTIONS = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}
_FEED_FORWARD = {
    "feed_forward.inner": "fc1",
    "feed_forward.outer": "fc2",
    "feed_forward_residual.norm": "final_layer_norm",
}
_UNKNOWN = "<unk>"
# The first two rows were kept for paddings, long ago.
_UNUSED_POSITIONS = 2


class Bart(Family):
    """The paper's Transformer with learned positions, a GELU, and normalized token vectors."""

    model_type = "bart"
    task = "translation"
    prefix = "model."

    def settings(self, config: ForeignConfig) -> dict[str, Any]:
        """Return the settings of our model."""
        config.expect_architecture("BartForConditionalGeneration", "BartModel")
        for name, usual in (("normalize_embedding", True), ("static_position_embeddings", False)):
            config.expect(name, usual, default=usual)
        return stacks(config) | {
            "positions": "learned",
            "max_positions": config.get("max_position_embeddings", 1024),
            "embedding_norm": True,
        }

    def vocabulary(self, folder: Path, config: ForeignConfig) -> ForeignVocabulary:
        """Read `tokenizer.json`, which puts <s> before a text."""
        path = folder / TOKENIZER_FILE
        if not path.is_file():
            raise no_tokenizer(folder, TOKENIZER_FILE)
        document = read_json(path)
        tokens = tokens_of(document, path)
        eos = config.number("eos_token_id", 2)
        return rebuild(
            document,
            path,
            config,
            pad=config.number("pad_token_id", 1),
            unk=tokens.index(_UNKNOWN) if _UNKNOWN in tokens else None,
            start=config.number("decoder_start_token_id", eos),
            eos=eos,
            keep_prefix=True,
        )

    def weights(self, model: Mapping[str, Any], renumbering: Renumbering) -> Sequence[Weight]:
        """Return where each weight of ours comes from."""
        weights = [embedding(renumbering), output_bias(renumbering, optional=True), *stack_weights(model)]
        for ours, theirs in (("source", "model.encoder"), ("target", "model.decoder")):
            weights.append(Weight(f"{ours}_positions.weight", f"{theirs}.embed_positions.weight", _used_positions))
            weights += weight_and_bias(f"{ours}_norm", f"{theirs}.layernorm_embedding")
        return weights

    def ignores(self, name: str) -> bool:
        """Tell whether a weight of theirs says nothing."""
        return False


def stacks(config: ForeignConfig) -> dict[str, Any]:
    """Return the settings that BART and Marian have in common, noting what ours cannot do."""
    config.expect("activation_function", *ACTIVATIONS, default="gelu")
    config.expect("tie_word_embeddings", True, default=True)
    for name in ("normalize_before", "add_final_layer_norm", "add_bias_logits"):
        config.expect(name, False, default=False)
    heads, width = config.get("encoder_attention_heads", 16), config.get("encoder_ffn_dim", 4096)
    config.expect("decoder_attention_heads", heads, default=16)
    config.expect("decoder_ffn_dim", width, default=4096)
    return {
        "architecture": "transformer",
        "d_model": config.get("d_model", 1024),
        "d_ff": width,
        "num_heads": heads,
        "encoder_layers": config.get("encoder_layers", 12),
        "decoder_layers": config.get("decoder_layers", 12),
        "feed_forward": ACTIVATIONS.get(config.get("activation_function", "gelu")),
        "dropout": config.get("dropout", 0.1),
        "norm": "post",
        "scale_embeddings": config.get("scale_embedding", False),
        "tied_embeddings": "all",
        "output_bias": True,
    }


def embedding(renumbering: Renumbering) -> Weight:
    """Return the one matrix of token vectors, which their files may hold under four names."""
    copies = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight")
    return Weight("target_embedding.weight", "model.shared.weight", renumbering.rows, copies=copies)


def output_bias(renumbering: Renumbering, *, optional: bool = False) -> Weight:
    """Return the numbers that are added to logits: one row of a table there."""
    return Weight("output_bias", "final_logits_bias", partial(_only_row, renumbering), optional=optional)


def stack_weights(model: Mapping[str, Any]) -> Iterator[Weight]:
    """Yield the weights of all layers."""
    for ours, kinds in (("encoder", ("self_attn",)), ("decoder", ("self_attn", "encoder_attn"))):
        for layer in range(model[f"{ours}_layers"]):
            yield from _layer(f"{ours}.{layer}", f"model.{ours}.layers.{layer}", kinds)


def _layer(ours: str, theirs: str, kinds: Sequence[str]) -> Iterator[Weight]:
    for kind in kinds:
        name = "self_attention" if kind == "self_attn" else "cross_attention"
        for part, foreign in _PROJECTIONS.items():
            yield from weight_and_bias(f"{ours}.{name}.{part}", f"{theirs}.{kind}.{foreign}")
        yield from weight_and_bias(f"{ours}.{name}_residual.norm", f"{theirs}.{kind}_layer_norm")
    for part, foreign in _FEED_FORWARD.items():
        yield from weight_and_bias(f"{ours}.{part}", f"{theirs}.{foreign}")


def _used_positions(table: Tensor) -> Tensor:
    return table[_UNUSED_POSITIONS:]


def _only_row(renumbering: Renumbering, table: Tensor) -> Tensor:
    (row,) = table
    return renumbering.output_bias(row, torch.float32)

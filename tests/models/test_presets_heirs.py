"""The presets of the heirs against Hugging Face's models of the same shapes, and against what their authors say."""

from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForPreTraining,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MarianConfig,
    MarianMTModel,
    PretrainedConfig,
    T5Config,
    T5ForConditionalGeneration,
)

from attento.models.build import build_language_model, build_masked_model, build_translation_model
from attento.models.config import LanguageModelConfig, MaskedModelConfig
from attento.models.presets import PRESETS, Preset


def sides(layers: int, heads: int, inner: int) -> dict[str, int]:
    """Return the settings that Marian and BART have for each side."""
    shape = {"layers": layers, "attention_heads": heads, "ffn_dim": inner}
    return {f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in shape.items()}


# Model, its settings, and what it has more than ours.
HEIRS: dict[str, tuple[Any, PretrainedConfig, int]] = {
    "gpt2": (GPT2LMHeadModel, GPT2Config(), 0),
    "llama_7b": (LlamaForCausalLM, LlamaConfig(), 0),
    # The linear map from a sentence's vector to whether the second follows the first.
    "bert_base": (BertForPreTraining, BertConfig(), 768 * 2 + 2),
    "t5_small": (T5ForConditionalGeneration, T5Config(vocab_size=32_128), 0),
    # Made anew it has one matrix for all, as released two; ours are three.
    "t5_1_1_small": (
        T5ForConditionalGeneration,
        T5Config(vocab_size=32_128, d_ff=1024, num_heads=6, num_layers=8, feed_forward_proj="gated-gelu"),
        -2 * 32_128 * 512,
    ),
    # Two tables of waves; a number for each logit is a parameter of ours alone.
    "marian_base": (
        MarianMTModel,
        MarianConfig(
            vocab_size=58_101,
            d_model=512,
            activation_function="swish",
            max_position_embeddings=512,
            **sides(6, 8, 2048),
        ),
        2 * 512 * 512 - 58_101,
    ),
    # Two learned positions more on either side; and the same as for Marian.
    "bart_base": (
        BartForConditionalGeneration,
        BartConfig(vocab_size=50_265, d_model=768, max_position_embeddings=1024, **sides(6, 12, 3072)),
        2 * 2 * 768 - 50_265,
    ),
}

every_heir = pytest.mark.parametrize("name", HEIRS)


def build(preset: Preset) -> nn.Module:
    size = preset.vocab_size
    if isinstance(preset.model, LanguageModelConfig):
        return build_language_model(preset.model, size)
    if isinstance(preset.model, MaskedModelConfig):
        return build_masked_model(preset.model, size)
    return build_translation_model(preset.model, size, size)


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@every_heir
def test_has_as_many_parameters_as_hugging_faces_but_for_what_is_told(name: str) -> None:
    kind, config, more = HEIRS[name]
    assert PRESETS[name].vocab_size == config.vocab_size
    with torch.device("meta"):
        ours, theirs = build(PRESETS[name]), kind(config)
    assert count(theirs) - count(ours) == more


@pytest.mark.parametrize("name", [name for name in HEIRS if PRESETS[name].printed_parameters])
def test_has_as_many_parameters_as_its_authors_say(name: str) -> None:
    with torch.device("meta"):
        counted = count(build(PRESETS[name]))
    # T5 1.1 has one matrix for source and target, where ours are two.
    shared = 32_128 * 512 if name == "t5_1_1_small" else 0
    assert counted - shared == pytest.approx(PRESETS[name].printed_parameters, rel=0.01)


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        ("gpt2", ("norm_epsilon", "dropout", "max_positions"), ("layer_norm_epsilon", "resid_pdrop", "n_positions")),
        ("llama_7b", ("norm_epsilon", "dropout"), ("rms_norm_eps", "attention_dropout")),
        (
            "bert_base",
            ("norm_epsilon", "dropout", "max_positions"),
            ("layer_norm_eps", "hidden_dropout_prob", "max_position_embeddings"),
        ),
        ("t5_small", ("norm_epsilon", "dropout"), ("layer_norm_epsilon", "dropout_rate")),
        ("t5_1_1_small", ("norm_epsilon", "dropout"), ("layer_norm_epsilon", "dropout_rate")),
        ("marian_base", ("dropout",), ("dropout",)),
        ("bart_base", ("dropout", "max_positions"), ("dropout", "max_position_embeddings")),
    ],
)
def test_what_no_count_tells_is_theirs_too(name: str, ours: tuple[str, ...], theirs: tuple[str, ...]) -> None:
    model, (_, config, _) = PRESETS[name].model, HEIRS[name]
    assert [getattr(model, each) for each in ours] == [getattr(config, each) for each in theirs]


def test_distances_and_angles_are_theirs() -> None:
    t5, llama = (PRESETS[name].model for name in ("t5_small", "llama_7b"))
    config = HEIRS["t5_small"][1]
    theirs = config.relative_attention_num_buckets, config.relative_attention_max_distance
    assert (t5.relative.buckets, t5.relative.max_distance) == theirs
    assert llama.rotary.base == HEIRS["llama_7b"][1].rope_parameters["rope_theta"]


def test_the_heirs_are_all_that_the_first_paper_has_not() -> None:
    assert {name for name in PRESETS if not name.startswith("transformer_")} == set(HEIRS)

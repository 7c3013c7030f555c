from typing import Any

import pytest

from attento.config import check_settings
from attento.errors import ConfigError
from attento.models.classification.config import DecomposableAttentionConfig, EncoderOnlyConfig, SelfAttentiveConfig
from attento.models.language.config import (
    CausalConvolutionConfig,
    DecoderOnlyConfig,
    NGramConfig,
    RecurrentLanguageConfig,
    WindowMLPConfig,
)
from attento.models.translation.config import DecoderOnlyTranslationConfig, TransformerConfig


def check(**tree: Any) -> TransformerConfig:
    return check_settings(TransformerConfig, tree, origin="recipe.yaml")


@pytest.mark.parametrize("widths", [{}, {"d_key": 5}, {"d_value": 5}])
def test_heads_that_do_not_divide_the_model_are_refused(widths: dict[str, int]) -> None:
    with pytest.raises(ConfigError) as caught:
        check(d_model=512, num_heads=6, **widths)
    assert str(caught.value) == ("recipe.yaml: `num_heads` must divide `d_model`, but got num_heads=6 and d_model=512")


def test_heads_need_not_divide_where_both_widths_are_given() -> None:
    assert check(d_model=512, num_heads=6, d_key=5, d_value=7).num_heads == 6


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("d_model", 0), ("d_ff", -1), ("num_heads", 0), ("encoder_layers", 0), ("decoder_layers", 1.5), ("d_key", 0),
        ("dropout", 1.0), ("dropout", -0.1), ("norm", "both"), ("positions", "polar"), ("tied_embeddings", True),
        ("max_positions", 0), ("architecture", "perceptron"),
    ],
)  # fmt: skip
def test_impossible_values_are_refused_by_name(setting: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"`{setting}`: .*, but got {value!r}"):
        check(**{setting: value})


@pytest.mark.parametrize(
    ("kind", "architecture", "setting", "value"),
    [
        (NGramConfig, "ngram", "order", 0), (NGramConfig, "ngram", "order", 33),
        (WindowMLPConfig, "window_mlp", "window", 0), (WindowMLPConfig, "window_mlp", "d_hidden", -5),
        (RecurrentLanguageConfig, "rnn", "cell", "transistor"), (RecurrentLanguageConfig, "rnn", "layers", 0),
        (RecurrentLanguageConfig, "rnn", "dropout", 1.0),
        (CausalConvolutionConfig, "causal_convolution", "width", 0),
        (CausalConvolutionConfig, "causal_convolution", "blocks", 0),
        (DecoderOnlyConfig, "decoder_only", "positions", "polar"), (DecoderOnlyConfig, "decoder_only", "scores", "no"),
        (DecoderOnlyTranslationConfig, "decoder_only", "source_sees", "future"),
        (DecoderOnlyTranslationConfig, "decoder_only", "max_positions", 1),
        (SelfAttentiveConfig, "self_attentive", "rows", 0), (SelfAttentiveConfig, "self_attentive", "penalty", -0.1),
        (DecomposableAttentionConfig, "decomposable_attention", "d_model", 0),
        (EncoderOnlyConfig, "encoder_only", "num_sentences", 3), (EncoderOnlyConfig, "encoder_only", "d_ff", 0),
    ],
)  # fmt: skip
def test_impossible_values_of_other_systems_are_refused_by_name(
    kind: Any, architecture: str, setting: str, value: Any
) -> None:
    with pytest.raises(ConfigError, match=f"`{setting}`: .*, but got {value!r}"):
        check_settings(kind, {"architecture": architecture, setting: value}, origin="recipe.yaml")


@pytest.mark.parametrize("dilations", [[], [1, 0], [1, 2.5]])
def test_dilations_must_be_some_whole_numbers(dilations: list[Any]) -> None:
    tree = {"architecture": "causal_convolution", "dilations": dilations}
    with pytest.raises(ConfigError, match="`dilations"):
        check_settings(CausalConvolutionConfig, tree, origin="recipe.yaml")


@pytest.mark.parametrize(
    ("kind", "architecture"),
    [
        (DecoderOnlyConfig, "decoder_only"),
        (DecoderOnlyTranslationConfig, "decoder_only"),
        (EncoderOnlyConfig, "encoder_only"),
    ],
)
def test_other_stacks_check_their_heads_too(kind: Any, architecture: str) -> None:
    with pytest.raises(ConfigError, match="`num_heads` must divide `d_model`, but got num_heads=5 and d_model=12"):
        check_settings(kind, {"architecture": architecture, "d_model": 12, "num_heads": 5}, origin="recipe.yaml")


def test_one_matrix_of_two_widths_is_refused() -> None:
    tree = {"architecture": "window_mlp", "tied_embeddings": True, "d_model": 7, "d_hidden": 11}
    with pytest.raises(ConfigError, match="needs `d_hidden` equal to `d_model`, but got d_hidden=11 and d_model=7"):
        check_settings(WindowMLPConfig, tree, origin="recipe.yaml")

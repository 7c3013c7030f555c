"""One small model of every architecture and variant, for tests of what all of them keep."""

from typing import Any

from pydantic import TypeAdapter

from attento.models.base import Classifier, EncoderDecoder, LanguageModel
from attento.models.build import build_classifier, build_language_model, build_translation_model
from attento.models.config import ClassifierModelConfig, LanguageModelConfig, TranslationModelConfig

_LAYERS = {"encoder_layers": 2, "decoder_layers": 2}
_TRANSFORMER = {"architecture": "transformer", **_LAYERS, "d_model": 12, "d_ff": 19, "num_heads": 3}
_RNN = {"architecture": "rnn_encoder_decoder", "d_model": 11, **_LAYERS}
_ATTENTIVE = {"architecture": "rnn_attention", "d_model": 12}
_DECODER = {"architecture": "decoder_only", "layers": 2, "d_model": 12, "d_ff": 19, "num_heads": 3}

TRANSLATION: dict[str, dict[str, Any]] = {
    "transformer": _TRANSFORMER,
    "transformer_pre_norm_learned": _TRANSFORMER | {"norm": "pre", "positions": "learned", "max_positions": 31},
    "transformer_one_head": _TRANSFORMER | {"num_heads": 1},
    "transformer_unscaled": _TRANSFORMER | {"scores": "unscaled"},
    "transformer_uniform": _TRANSFORMER | {"scores": "uniform"},
    "transformer_without_projections": _TRANSFORMER | {"projections": False},
    "transformer_without_positions": _TRANSFORMER | {"positions": "none"},
    "transformer_without_feed_forward": _TRANSFORMER | {"feed_forward": "none"},
    "transformer_without_residual": _TRANSFORMER | {"residual": False},
    "transformer_batch_norm": _TRANSFORMER | {"normalization": "batch"},
    "rnn_elman": _RNN | {"cell": "elman"},
    "rnn_gru": _RNN | {"cell": "gru"},
    "rnn_lstm_reversed": _RNN | {"cell": "lstm", "reverse_source": True},
    "attention_additive": _ATTENTIVE | {"attention": "additive", "cell": "gru"},
    "attention_dot": _ATTENTIVE | {"attention": "dot", "cell": "lstm", **_LAYERS},
    "attention_general": _ATTENTIVE | {"attention": "general", "cell": "elman"},
    "attention_concat": _ATTENTIVE | {"attention": "concat", "cell": "gru"},
    "convs2s": {"architecture": "convs2s", "d_model": 11, **_LAYERS, "max_positions": 31},
    "bytenet": {"architecture": "bytenet", "d_model": 12, "blocks": 1, "dilations": [1, 2]},
    "token_mixer": {
        "architecture": "token_mixer",
        **_LAYERS,
        "d_model": 12,
        "d_ff": 19,
        "d_token": 13,
        "num_heads": 3,
        "max_positions": 23,
    },
}
LANGUAGE: dict[str, dict[str, Any]] = {
    "window_mlp": {"architecture": "window_mlp", "d_model": 11, "window": 3, "d_hidden": 13},
    "elman": {"architecture": "rnn", "cell": "elman", "d_model": 11, "layers": 2},
    "lstm": {"architecture": "rnn", "cell": "lstm", "d_model": 11, "layers": 2},
    "gru": {"architecture": "rnn", "cell": "gru", "d_model": 11, "layers": 1, "tied_embeddings": False},
    "causal_convolution": {"architecture": "causal_convolution", "d_model": 12, "blocks": 1, "dilations": [1, 2]},
    "decoder_only": _DECODER,
    "decoder_only_post_norm_sinusoidal": _DECODER | {"norm": "post", "positions": "sinusoidal"},
    "decoder_only_uniform_batch_norm": _DECODER | {"scores": "uniform", "normalization": "batch"},
}
COUNTED: dict[str, dict[str, Any]] = {
    "unigrams": {"architecture": "ngram", "order": 1},
    "fourgrams": {"architecture": "ngram", "order": 4},
}
CLASSIFICATION: dict[str, dict[str, Any]] = {
    "self_attentive": {
        "architecture": "self_attentive",
        "d_model": 11,
        "d_hidden": 7,
        "d_attention": 13,
        "rows": 3,
        "d_output": 17,
    },
    "decomposable": {"architecture": "decomposable_attention", "d_model": 11},
    "decomposable_intra": {"architecture": "decomposable_attention", "d_model": 11, "intra_sentence": True},
    "encoder_only": {"architecture": "encoder_only", "layers": 2, "d_model": 12, "d_ff": 19, "num_heads": 3},
    "encoder_only_pairs": {
        "architecture": "encoder_only",
        "layers": 2,
        "d_model": 12,
        "d_ff": 19,
        "num_heads": 3,
        "num_sentences": 2,
    },
}


def translation_model(settings: dict[str, Any], source_vocab_size: int, target_vocab_size: int) -> EncoderDecoder:
    """Build a translation model from settings as a recipe has them."""
    config = TypeAdapter[Any](TranslationModelConfig).validate_python(settings)
    return build_translation_model(config, source_vocab_size, target_vocab_size)


def language_model(settings: dict[str, Any], vocab_size: int) -> LanguageModel:
    """Build a language model from settings as a recipe has them."""
    return build_language_model(TypeAdapter[Any](LanguageModelConfig).validate_python(settings), vocab_size)


def classifier(settings: dict[str, Any], vocab_size: int, num_classes: int) -> Classifier:
    """Build a sentence model from settings as a recipe has them."""
    config = TypeAdapter[Any](ClassifierModelConfig).validate_python(settings)
    return build_classifier(config, vocab_size, num_classes)

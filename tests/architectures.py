"""One small model of every architecture and variant, for tests of what all of them keep."""

from typing import Any

from pydantic import TypeAdapter

from attento.models.base import Classifier, EncoderDecoder, LanguageModel, MaskedLanguageModel
from attento.models.build import build_classifier, build_language_model, build_masked_model, build_translation_model
from attento.models.config import ClassifierModelConfig, LanguageModelConfig, MaskedModelConfig, TranslationModelConfig

_LAYERS = {"encoder_layers": 2, "decoder_layers": 2}
_TRANSFORMER = {"architecture": "transformer", **_LAYERS, "d_model": 12, "d_ff": 19, "num_heads": 3}
_RNN = {"architecture": "rnn_encoder_decoder", "d_model": 11, **_LAYERS}
_ATTENTIVE = {"architecture": "rnn_attention", "d_model": 12}
_PREFIX = {"architecture": "decoder_only", "layers": 2, "d_model": 12, "d_ff": 19, "num_heads": 3}
_SCALING = {"kind": "llama3", "factor": 3.0, "low": 1.0, "high": 2.0, "original_length": 17}
_BUCKETS = {"buckets": 6, "max_distance": 7}
_DECODER = {"architecture": "decoder_only", "layers": 2, "d_model": 12, "d_ff": 19, "num_heads": 3}

_ENCODER = {"architecture": "encoder_only", "layers": 2, "d_model": 12, "d_ff": 19, "num_heads": 3}
_LLAMA_SHAPED = {
    "positions": "rotary",
    "position_layout": "halves",
    "feed_forward": "swiglu",
    "normalization": "rms",
    "bias": False,
    "norm": "pre",
    "scale_embeddings": False,
}

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
    "transformer_llama_shaped": _TRANSFORMER | _LLAMA_SHAPED | {"num_kv_heads": 1, "d_key": 6, "d_value": 5},
    "transformer_t5_shaped": _TRANSFORMER
    | {"positions": "relative", "relative": _BUCKETS, "scores": "unscaled", "feed_forward": "geglu_tanh"}
    | {"normalization": "rms", "norm": "pre", "bias": False},
    "transformer_marian_and_bart_shaped": _TRANSFORMER
    | {"position_layout": "halves", "feed_forward": "silu", "output_bias": True, "norm_epsilon": 1e-3}
    | {"embedding_norm": True, "scale_embeddings": False},
    "transformer_alibi": _TRANSFORMER | {"positions": "alibi", "feed_forward": "reglu"},
    "transformer_window": _TRANSFORMER | {"sliding_window": 3, "feed_forward": "bilinear"},
    "prefix": _PREFIX,
    "prefix_learned_post_norm_source_sees_all": _PREFIX
    | {"positions": "learned", "max_positions": 61, "norm": "post", "source_sees": "all", "output_bias": True},
    "prefix_sinusoidal_window_shared_keys": _PREFIX
    | {"positions": "sinusoidal", "sliding_window": 4, "num_kv_heads": 1, "feed_forward": "swiglu"},
    "prefix_relative_source_sees_all_in_a_window": _PREFIX
    | {"positions": "relative", "relative": _BUCKETS, "source_sees": "all", "sliding_window": 5},
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
    "decoder_only_llama_shaped": _DECODER
    | _LLAMA_SHAPED
    | {"num_heads": 6, "num_kv_heads": 2, "tied_embeddings": False},
    "decoder_only_gpt2_shaped": _DECODER
    | {"max_positions": 29, "feed_forward": "gelu_tanh", "scale_embeddings": False, "output_bias": True},
    "decoder_only_window_slow_rotary": _DECODER
    | {"positions": "rotary", "rotary": {"base": 500.0, "scaling": _SCALING}, "sliding_window": 3}
    | {"feed_forward": "glu"},
    "decoder_only_relative_shared_keys": _DECODER
    | {"positions": "relative", "relative": _BUCKETS, "num_kv_heads": 1, "embedding_norm": True},
    "decoder_only_alibi_window": _DECODER | {"positions": "alibi", "sliding_window": 4, "bias": False},
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
    "encoder_only": _ENCODER,
    "encoder_only_pairs": _ENCODER | {"num_sentences": 2},
    "encoder_only_llama_shaped": _ENCODER | _LLAMA_SHAPED | {"num_kv_heads": 1},
    "encoder_only_relative_window": _ENCODER
    | {"positions": "relative", "relative": _BUCKETS, "sliding_window": 3, "feed_forward": "gelu"},
    "encoder_only_alibi_pairs": _ENCODER | {"positions": "alibi", "num_sentences": 2, "embedding_norm": True},
}
MASKED: dict[str, dict[str, Any]] = {
    "masked": _ENCODER,
    "masked_llama_shaped": _ENCODER | _LLAMA_SHAPED | {"num_kv_heads": 1, "pooling": "first"},
    "masked_relative_window": _ENCODER | {"positions": "relative", "relative": _BUCKETS, "sliding_window": 3},
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


def masked_model(settings: dict[str, Any], vocab_size: int) -> MaskedLanguageModel:
    """Build a masked language model from settings as a recipe has them."""
    return build_masked_model(MaskedModelConfig.model_validate(settings), vocab_size)

"""From settings to a model: one `match` a task, no registry."""

from collections.abc import Iterator
from contextlib import contextmanager

from attento.errors import ConfigError
from attento.models.base import Classifier, EncoderDecoder, LanguageModel, MaskedLanguageModel
from attento.models.classification.decomposable import DecomposableAttention
from attento.models.classification.encoder_only import EncoderOnly
from attento.models.classification.self_attentive import SelfAttentive
from attento.models.config import ClassifierModelConfig, LanguageModelConfig, TranslationModelConfig
from attento.models.language.convolutional import CausalConvolutionModel
from attento.models.language.decoder_only import DecoderOnly
from attento.models.language.ngram import NGramModel
from attento.models.language.recurrent import RecurrentLanguageModel
from attento.models.language.window import WindowMLP
from attento.models.masked.config import MaskedEncoderConfig
from attento.models.masked.encoder_only import MaskedEncoder
from attento.models.translation.attentive import RecurrentAttention
from attento.models.translation.bytenet import ByteNet
from attento.models.translation.convolutional import ConvS2S
from attento.models.translation.decoder_only import DecoderOnlyTranslation
from attento.models.translation.mixer import TokenMixer
from attento.models.translation.recurrent import RecurrentEncoderDecoder
from attento.models.translation.transformer import Transformer


def build_translation_model(
    config: TranslationModelConfig, source_vocab_size: int, target_vocab_size: int
) -> EncoderDecoder:
    """Make a translation model with freshly drawn weights.

    Raises:
        ConfigError: the settings do not go with these vocabularies.
    """
    sizes = source_vocab_size, target_vocab_size
    with _settings_told():
        match config.architecture:
            case "transformer":
                return Transformer(config, *sizes)
            case "decoder_only":
                return DecoderOnlyTranslation(config, *sizes)
            case "rnn_encoder_decoder":
                return RecurrentEncoderDecoder(config, *sizes)
            case "rnn_attention":
                return RecurrentAttention(config, *sizes)
            case "convs2s":
                return ConvS2S(config, *sizes)
            case "bytenet":
                return ByteNet(config, *sizes)
            case "token_mixer":
                return TokenMixer(config, *sizes)


def build_language_model(config: LanguageModelConfig, vocab_size: int) -> LanguageModel:
    """Make a language model with freshly drawn weights, or one that has counted nothing yet.

    Raises:
        ConfigError: the settings do not go together.
    """
    with _settings_told():
        match config.architecture:
            case "ngram":
                return NGramModel(config, vocab_size)
            case "window_mlp":
                return WindowMLP(config, vocab_size)
            case "rnn":
                return RecurrentLanguageModel(config, vocab_size)
            case "causal_convolution":
                return CausalConvolutionModel(config, vocab_size)
            case "decoder_only":
                return DecoderOnly(config, vocab_size)


def build_classifier(config: ClassifierModelConfig, vocab_size: int, num_classes: int) -> Classifier:
    """Make a sentence model with freshly drawn weights.

    Raises:
        ConfigError: the settings do not go together.
    """
    with _settings_told():
        match config.architecture:
            case "self_attentive":
                return SelfAttentive(config, vocab_size, num_classes)
            case "decomposable_attention":
                return DecomposableAttention(config, vocab_size, num_classes)
            case "encoder_only":
                return EncoderOnly(config, vocab_size, num_classes)


def build_masked_model(config: MaskedEncoderConfig, vocab_size: int) -> MaskedLanguageModel:
    """Make a model that tells hidden tokens, with freshly drawn weights."""
    return MaskedEncoder(config, vocab_size)


@contextmanager
def _settings_told() -> Iterator[None]:
    try:
        yield
    except ValueError as problem:
        raise ConfigError(str(problem)) from problem

"""The settings of every model: one union a task, tagged by `architecture`."""

from typing import TypeAlias

from attento.models.classification.config import DecomposableAttentionConfig, EncoderOnlyConfig, SelfAttentiveConfig
from attento.models.language.config import (
    CausalConvolutionConfig,
    DecoderOnlyConfig,
    NGramConfig,
    RecurrentLanguageConfig,
    WindowMLPConfig,
)
from attento.models.translation.config import (
    ByteNetConfig,
    ConvS2SConfig,
    RecurrentAttentionConfig,
    RecurrentConfig,
    TokenMixerConfig,
    TransformerConfig,
)

TranslationModelConfig: TypeAlias = (
    TransformerConfig | RecurrentConfig | RecurrentAttentionConfig | ConvS2SConfig | ByteNetConfig | TokenMixerConfig
)
NeuralLanguageModelConfig: TypeAlias = (
    WindowMLPConfig | RecurrentLanguageConfig | CausalConvolutionConfig | DecoderOnlyConfig
)
LanguageModelConfig: TypeAlias = NGramConfig | NeuralLanguageModelConfig
ClassifierModelConfig: TypeAlias = SelfAttentiveConfig | DecomposableAttentionConfig | EncoderOnlyConfig
ModelConfig: TypeAlias = TranslationModelConfig | LanguageModelConfig | ClassifierModelConfig

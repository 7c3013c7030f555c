"""The settings of every model: one union a task, tagged by `architecture`.

The same tag may stand in the unions of two tasks: a shape is called by its name, and the task says what it is to do.
"""

from typing import TypeAlias

from attento.models.classification.config import DecomposableAttentionConfig, EncoderOnlyConfig, SelfAttentiveConfig
from attento.models.language.config import (
    CausalConvolutionConfig,
    DecoderOnlyConfig,
    NGramConfig,
    RecurrentLanguageConfig,
    WindowMLPConfig,
)
from attento.models.masked.config import MaskedEncoderConfig
from attento.models.translation.config import (
    ByteNetConfig,
    ConvS2SConfig,
    DecoderOnlyTranslationConfig,
    RecurrentAttentionConfig,
    RecurrentConfig,
    TokenMixerConfig,
    TransformerConfig,
)

TranslationModelConfig: TypeAlias = (
    TransformerConfig
    | DecoderOnlyTranslationConfig
    | RecurrentConfig
    | RecurrentAttentionConfig
    | ConvS2SConfig
    | ByteNetConfig
    | TokenMixerConfig
)
NeuralLanguageModelConfig: TypeAlias = (
    WindowMLPConfig | RecurrentLanguageConfig | CausalConvolutionConfig | DecoderOnlyConfig
)
LanguageModelConfig: TypeAlias = NGramConfig | NeuralLanguageModelConfig
ClassifierModelConfig: TypeAlias = SelfAttentiveConfig | DecomposableAttentionConfig | EncoderOnlyConfig
MaskedModelConfig: TypeAlias = MaskedEncoderConfig
ModelConfig: TypeAlias = TranslationModelConfig | LanguageModelConfig | ClassifierModelConfig | MaskedModelConfig

"""The settings of the sentence models, tagged by `architecture`."""

from typing import Literal

from pydantic import Field, PositiveInt

from attento.config import Settings
from attento.models.stack_config import StackConfig


class ClassifierConfig(Settings):
    """What all sentence models have in common."""

    d_model: PositiveInt = 256
    dropout: float = Field(0.1, ge=0, lt=1)


class SelfAttentiveConfig(ClassifierConfig):
    """A structured self-attentive sentence embedding (Lin et al. 2017)."""

    architecture: Literal["self_attentive"]
    d_hidden: PositiveInt = Field(256, description="width of the LSTM in each direction")
    d_attention: PositiveInt = Field(128, description="width of the layer that scores tokens")
    rows: PositiveInt = Field(8, description="how many different looks at the sentence are taken")
    d_output: PositiveInt = Field(256, description="width of the layer before the classes")
    penalty: float = Field(0.01, ge=0, description="weight of the Frobenius penalty that keeps the looks different")


class DecomposableAttentionConfig(ClassifierConfig):
    """Decomposable attention for pairs of sentences (Parikh et al. 2016)."""

    architecture: Literal["decomposable_attention"]
    intra_sentence: bool = Field(False, description="let each sentence attend to itself first (section 3.4)")


class EncoderOnlyConfig(ClassifierConfig, StackConfig):
    """A Transformer encoder over the sentence, or over both of a pair, one after the other."""

    architecture: Literal["encoder_only"]
    layers: PositiveInt = 3
    d_ff: PositiveInt = Field(512, description="width inside the feed-forward network")
    num_heads: PositiveInt = 4
    norm: Literal["post", "pre"] = Field("pre", description="normalization after each residual or before its sublayer")
    max_positions: PositiveInt = Field(
        512, description="how many positions are learned, for all sentences of an example; no limit otherwise"
    )
    num_sentences: Literal[1, 2] = Field(1, description="sentences in one example")

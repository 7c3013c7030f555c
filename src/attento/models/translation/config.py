"""The settings of the translation systems, tagged by `architecture`."""

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from attento.config import Settings
from attento.models.stack_config import Positions, StackConfig

Cell = Literal["elman", "gru", "lstm"]
TiedEmbeddings = Literal["all", "target", "none"]


class TranslationConfig(Settings):
    """What all translation systems have in common."""

    d_model: PositiveInt = 512
    dropout: float = Field(0.1, ge=0, lt=1)
    tied_embeddings: TiedEmbeddings = Field(
        "all", description="one matrix for source, target and output; for target and output; or three matrices"
    )


class TransformerStacksConfig(TranslationConfig, StackConfig):
    """A stack of layers that reads and a stack of Transformer layers that writes."""

    encoder_layers: PositiveInt = 6
    decoder_layers: PositiveInt = 6
    output_bias: bool = Field(False, description="add a number of each target token to its logit")


class TransformerConfig(TransformerStacksConfig):
    """The Transformer encoder-decoder; the defaults are the paper's base model (Vaswani et al. 2017, Table 3)."""

    architecture: Literal["transformer"] = "transformer"


class RecurrentConfig(TranslationConfig):
    """An RNN that reads and an RNN that writes, joined by one vector (Cho et al. 2014; Sutskever et al. 2014)."""

    architecture: Literal["rnn_encoder_decoder"]
    cell: Cell = "lstm"
    encoder_layers: PositiveInt = 1
    decoder_layers: PositiveInt = 1
    reverse_source: bool = Field(False, description="read the source backwards (Sutskever et al. 2014, section 3.3)")

    @model_validator(mode="after")
    def _layers_pair(self) -> "RecurrentConfig":
        if self.cell == "lstm" and self.encoder_layers != self.decoder_layers:
            raise ValueError(
                "with `cell: lstm` each decoder layer starts from the encoder's layer beside it, but got "
                f"encoder_layers={self.encoder_layers} and decoder_layers={self.decoder_layers}; make them equal"
            )
        return self


class RecurrentAttentionConfig(TranslationConfig):
    """An RNN that writes with attention to what an RNN has read (Bahdanau et al. 2015; Luong et al. 2015)."""

    architecture: Literal["rnn_attention"]
    cell: Cell = "gru"
    encoder_layers: PositiveInt = 1
    decoder_layers: PositiveInt = 1
    attention: Literal["additive", "dot", "general", "concat"] = Field(
        "additive", description="additive: Bahdanau et al. 2015; the others: Luong et al. 2015, with input feeding"
    )

    @model_validator(mode="after")
    def _layers_pair(self) -> "RecurrentAttentionConfig":
        if self.attention != "additive" and self.encoder_layers != self.decoder_layers:
            raise ValueError(
                f"with `attention: {self.attention}` each decoder layer starts from the encoder's layer beside it, but "
                f"got encoder_layers={self.encoder_layers} and decoder_layers={self.decoder_layers}; make them equal"
            )
        return self


class ConvS2SConfig(TranslationConfig):
    """Gated convolutions with attention in every decoder layer (Gehring et al. 2017)."""

    architecture: Literal["convs2s"]
    encoder_layers: PositiveInt = 4
    decoder_layers: PositiveInt = 3
    width: PositiveInt = Field(3, description="tokens that a convolution sees")
    max_positions: PositiveInt = Field(1024, description="how many positions are learned")


class ByteNetConfig(TranslationConfig):
    """Dilated convolutions, the decoder on top of the encoder (Kalchbrenner et al. 2016)."""

    architecture: Literal["bytenet"]
    blocks: PositiveInt = Field(2, description="times that the row of dilations is gone through, on either side")
    dilations: tuple[PositiveInt, ...] = Field((1, 2, 4, 8, 16), min_length=1)
    width: PositiveInt = Field(3, description="tokens that a convolution sees")
    length_factor: float = Field(1.2, ge=1, le=10, description="columns that the encoder makes for a source token")


class TokenMixerConfig(TransformerStacksConfig):
    """An encoder that mixes tokens by a linear layer over positions (Tolstikhin et al. 2021); a Transformer writes.

    The settings of attention and positions are the writer's: the encoder has neither.
    """

    architecture: Literal["token_mixer"]
    d_token: PositiveInt = Field(256, description="width of the layer that mixes positions")
    norm: Literal["post", "pre"] = Field("pre", description="normalization after each residual or before its sublayer")
    max_positions: PositiveInt = Field(
        128, description="the most tokens that a source can have: the weights are made for so many"
    )


class DecoderOnlyTranslationConfig(TranslationConfig, StackConfig):
    """One stack that reads the source and goes on with the target (Liu et al. 2018; Raffel et al. 2020)."""

    architecture: Literal["decoder_only"]
    layers: PositiveInt = 6
    norm: Literal["post", "pre"] = Field("pre", description="normalization after each residual or before its sublayer")
    positions: Positions = Field(
        "rotary", description="added to token vectors (sinusoidal, learned) or told to attention (the others)"
    )
    max_positions: int = Field(
        1024, ge=2, description="how many positions are learned: half of them for the source, half for the target"
    )
    source_sees: Literal["past", "all"] = Field(
        "past", description="what each source token attends to: those before it, or all of the source (prefix LM)"
    )
    output_bias: bool = Field(False, description="add a number of each target token to its logit")

"""The settings of the language models, tagged by `architecture`."""

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from attento.config import Settings
from attento.models.stack_config import Positions, StackConfig


class NGramConfig(Settings):
    """Counted n-grams, smoothed by interpolated modified Kneser-Ney (Chen & Goodman 1999)."""

    architecture: Literal["ngram"]
    order: int = Field(5, ge=1, le=32, description="n: how many tokens an n-gram has")


class NeuralConfig(Settings):
    """What all language models with weights have in common."""

    d_model: PositiveInt = 256
    dropout: float = Field(0.1, ge=0, lt=1)
    tied_embeddings: bool = Field(True, description="one matrix for input and output")


class WindowMLPConfig(NeuralConfig):
    """A feed-forward network over the last few tokens (Bengio et al. 2003)."""

    architecture: Literal["window_mlp"]
    window: PositiveInt = Field(8, description="how many of the last tokens it sees")
    d_hidden: PositiveInt = Field(512, description="width of the hidden layer")
    tied_embeddings: bool = Field(False, description="one matrix for input and output; needs d_hidden = d_model")

    @model_validator(mode="after")
    def _tied_widths_agree(self) -> "WindowMLPConfig":
        if self.tied_embeddings and self.d_hidden != self.d_model:
            raise ValueError(
                "`tied_embeddings: true` needs `d_hidden` equal to `d_model`, "
                f"but got d_hidden={self.d_hidden} and d_model={self.d_model}"
            )
        return self


class RecurrentLanguageConfig(NeuralConfig):
    """A recurrent network of any depth (Elman 1990; Hochreiter & Schmidhuber 1997; Cho et al. 2014)."""

    architecture: Literal["rnn"]
    cell: Literal["elman", "gru", "lstm"] = "lstm"
    layers: PositiveInt = 2


class CausalConvolutionConfig(NeuralConfig):
    """Dilated causal convolutions with gates (van den Oord et al. 2016; Kalchbrenner et al. 2016)."""

    architecture: Literal["causal_convolution"]
    blocks: PositiveInt = Field(2, description="times that the row of dilations is gone through")
    dilations: tuple[PositiveInt, ...] = Field((1, 2, 4, 8, 16), min_length=1)
    width: PositiveInt = Field(3, description="tokens that a convolution sees")


class DecoderOnlyConfig(NeuralConfig, StackConfig):
    """A Transformer decoder without a source (Radford et al. 2018; Vaswani et al. 2017)."""

    architecture: Literal["decoder_only"]
    layers: PositiveInt = 6
    d_ff: PositiveInt = Field(1024, description="width inside the feed-forward network")
    norm: Literal["post", "pre"] = Field("pre", description="normalization after each residual or before its sublayer")
    positions: Positions = Field(
        "learned", description="added to token vectors (sinusoidal, learned) or told to attention (the others)"
    )
    output_bias: bool = Field(False, description="add a number of each token to its logit")

"""The settings of every model, tagged by `architecture`."""

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from attento.config import Settings


class TransformerConfig(Settings):
    """The Transformer encoder-decoder; the defaults are the paper's base model (Vaswani et al. 2017, Table 3)."""

    architecture: Literal["transformer"] = "transformer"
    encoder_layers: PositiveInt = 6
    decoder_layers: PositiveInt = 6
    d_model: PositiveInt = 512
    d_ff: PositiveInt = 2048
    num_heads: PositiveInt = 8
    d_key: PositiveInt | None = Field(None, description="width of one head's keys; d_model / num_heads if null")
    d_value: PositiveInt | None = Field(None, description="width of one head's values; d_model / num_heads if null")
    dropout: float = Field(0.1, ge=0, lt=1)
    norm: Literal["post", "pre"] = "post"
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"
    max_positions: PositiveInt = Field(1024, description="how many positions are learned; no limit when sinusoidal")
    tied_embeddings: Literal["all", "target", "none"] = Field(
        "all", description="one matrix for source, target and output; for target and output; or three matrices"
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> "TransformerConfig":
        if (self.d_key is None or self.d_value is None) and self.d_model % self.num_heads:
            raise ValueError(
                f"`num_heads` must divide `d_model`, but got num_heads={self.num_heads} and d_model={self.d_model}"
            )
        return self


ModelConfig = TransformerConfig

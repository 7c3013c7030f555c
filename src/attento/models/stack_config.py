"""The settings that every stack of Transformer layers has, whatever it is used for."""

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from attento.config import Settings


class StackConfig(Settings):
    """A stack of Transformer layers; what the paper's layers have can be taken out of them, piece by piece."""

    d_model: PositiveInt = 512
    dropout: float = Field(0.1, ge=0, lt=1)
    d_ff: PositiveInt = Field(2048, description="width inside the feed-forward network")
    num_heads: PositiveInt = 8
    d_key: PositiveInt | None = Field(None, description="width of one head's keys; d_model / num_heads if null")
    d_value: PositiveInt | None = Field(None, description="width of one head's values; d_model / num_heads if null")
    scores: Literal["scaled", "unscaled", "uniform"] = Field(
        "scaled", description="Q K^T / sqrt(d_k), Q K^T, or Q = K = 0: the plain mean of what may be attended to"
    )
    projections: bool = Field(True, description="project queries, keys, values and output; if not, softmax(X X^T) X")
    feed_forward: Literal["relu", "none"] = Field("relu", description="the feed-forward network of each layer, or none")
    residual: bool = Field(True, description="add each sublayer's input to its output")
    normalization: Literal["layer", "batch"] = Field(
        "layer", description="over each vector, or over each feature of the batch (running averages when evaluating)"
    )
    norm: Literal["post", "pre"] = Field("post", description="normalization after each residual or before its sublayer")
    positions: Literal["sinusoidal", "learned", "none"] = "sinusoidal"
    max_positions: PositiveInt = Field(1024, description="how many positions are learned; no limit otherwise")

    @model_validator(mode="after")
    def _heads_fit(self) -> "StackConfig":
        d_key, d_value = self.d_key, self.d_value
        if not self.projections and (d_key is not None or d_value is not None):
            raise ValueError(
                "`projections: false` leaves each head d_model / num_heads of the vector, so `d_key` and `d_value` "
                f"must be null, but got d_key={d_key} and d_value={d_value}"
            )
        if self.scores == "uniform" and d_key is not None:
            raise ValueError(f"`scores: uniform` compares no keys, so `d_key` must be null, but got d_key={d_key}")
        if (d_key is None or d_value is None) and self.d_model % self.num_heads:
            raise ValueError(
                f"`num_heads` must divide `d_model`, but got num_heads={self.num_heads} and d_model={self.d_model}"
            )
        return self

"""The settings that every stack of Transformer layers has, whatever it is used for."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from attento.config import Settings
from attento.nn.names import Gated, Layout, Normalization, NormOrder, Plain, Scores

Positions = Literal["sinusoidal", "learned", "rotary", "alibi", "relative", "none"]
FeedForwardKind = Literal[Plain, Gated, "none"]


class RotaryScalingConfig(Settings):
    """Slower rotary angles, for texts longer than those trained on; see `nn.relation.RotaryScaling`."""

    kind: Literal["linear", "llama3"]
    factor: float = Field(ge=1, description="how many times slower")
    low: PositiveFloat = Field(1.0, description="llama3: turns below which an angle is slowed in full")
    high: PositiveFloat = Field(4.0, description="llama3: turns above which an angle is left as it is")
    original_length: PositiveInt = Field(8192, description="llama3: tokens of the texts that were trained on")

    @model_validator(mode="after")
    def _turns_fit(self) -> "RotaryScalingConfig":
        if self.low >= self.high:
            raise ValueError(f"`low` must be less than `high`, but got low={self.low} and high={self.high}")
        for name in ("low", "high", "original_length"):
            if self.kind == "linear" and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"`{name}` is for `kind: llama3`, but got kind=linear")
        return self


class RotaryConfig(Settings):
    """Rotary positions (Su et al. 2021)."""

    base: PositiveFloat = Field(10000.0, description="angles per place go from 1 down to about 1 / base")
    scaling: RotaryScalingConfig | None = None


class RelativeConfig(Settings):
    """A learned bias for each distance (Raffel et al. 2020, section 2.1)."""

    buckets: int = Field(32, ge=4, description="values that one head learns; an even number")
    max_distance: PositiveInt = Field(128, description="distances from here on share one value")

    @model_validator(mode="after")
    def _buckets_reach(self) -> "RelativeConfig":
        if self.buckets % 2 or self.max_distance <= self.buckets // 2:
            raise ValueError(
                "`buckets` must be even and `max_distance` more than half of them, but got "
                f"buckets={self.buckets} and max_distance={self.max_distance}"
            )
        return self


class StackConfig(Settings):
    """A stack of Transformer layers; what the paper's layers have can be taken out of them, piece by piece."""

    d_model: PositiveInt = 512
    dropout: float = Field(0.1, ge=0, lt=1)
    d_ff: PositiveInt = Field(2048, description="width inside the feed-forward network")
    num_heads: PositiveInt = 8
    num_kv_heads: PositiveInt | None = Field(
        None, description="heads of keys and values: 1 is multi-query, fewer than num_heads grouped-query attention"
    )
    d_key: PositiveInt | None = Field(None, description="width of one head's keys; d_model / num_heads if null")
    d_value: PositiveInt | None = Field(None, description="width of one head's values; d_model / num_heads if null")
    scores: Scores = Field(
        "scaled", description="Q K^T / sqrt(d_k), Q K^T, or Q = K = 0: the plain mean of what may be attended to"
    )
    projections: bool = Field(True, description="project queries, keys, values and output; if not, softmax(X X^T) X")
    sliding_window: PositiveInt | None = Field(
        None, description="each token sees itself and this many minus one to a side; all of them if null"
    )
    feed_forward: FeedForwardKind = Field(
        "relu", description="activation or gate of each layer's feed-forward network; none leaves it out"
    )
    bias: bool = Field(True, description="whether linear maps add a vector")
    residual: bool = Field(True, description="add each sublayer's input to its output")
    normalization: Normalization = Field(
        "layer", description="over each vector (rms: without its mean), or over each feature of the batch"
    )
    norm_epsilon: PositiveFloat = Field(1e-5, description="what keeps the normalization from 0 / 0")
    norm: NormOrder = Field("post", description="normalization after each residual or before its sublayer")
    positions: Positions = Field(
        "sinusoidal", description="added to token vectors (sinusoidal, learned) or told to attention (the others)"
    )
    max_positions: PositiveInt = Field(1024, description="how many positions are learned; no limit otherwise")
    position_layout: Layout = Field(
        "interleaved", description="order of the features of sinusoidal and rotary positions; halves: LLaMA, Marian"
    )
    rotary: RotaryConfig = RotaryConfig()
    relative: RelativeConfig = RelativeConfig()
    scale_embeddings: bool = Field(True, description="multiply token vectors by sqrt(d_model)")
    embedding_norm: bool = Field(False, description="normalize token vectors once their positions are added")

    @model_validator(mode="after")
    def _heads_fit(self) -> "StackConfig":
        d_key, d_value = self.d_key, self.d_value
        if not self.projections and (d_key is not None or d_value is not None):
            raise ValueError(
                "`projections: false` leaves each head d_model / num_heads of the vector, so `d_key` and `d_value` "
                f"must be null, but got d_key={d_key} and d_value={d_value}"
            )
        if self.num_heads % (self.num_kv_heads or 1) or (self.num_kv_heads is not None and not self.projections):
            raise ValueError(
                "`num_kv_heads` must divide `num_heads`, and be null with `projections: false`, but got "
                f"num_kv_heads={self.num_kv_heads} and num_heads={self.num_heads}"
            )
        if self.scores == "uniform" and d_key is not None:
            raise ValueError(f"`scores: uniform` compares no keys, so `d_key` must be null, but got d_key={d_key}")
        if (d_key is None or d_value is None) and self.d_model % self.num_heads:
            raise ValueError(
                f"`num_heads` must divide `d_model`, but got num_heads={self.num_heads} and d_model={self.d_model}"
            )
        return self

    @model_validator(mode="after")
    def _positions_fit(self) -> "StackConfig":
        width = self.d_key or self.d_model // self.num_heads
        if self.positions == "rotary" and width % 2:
            raise ValueError(
                f"`positions: rotary` turns features in pairs, but one head's keys are {width} wide: make it even"
            )
        for name in ("rotary", "relative"):
            # A saved recipe has every default written out.
            if self.positions != name and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"`{name}` is for `positions: {name}`, but got positions={self.positions}")
        if self.position_layout == "halves" and self.positions not in ("sinusoidal", "rotary"):
            raise ValueError(
                f"`position_layout` is for `positions: sinusoidal` or `rotary`, but got positions={self.positions}"
            )
        if self.scores == "uniform" and self.positions == "rotary":
            raise ValueError("`scores: uniform` compares no keys, so `positions: rotary` would change nothing")
        return self

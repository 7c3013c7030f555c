"""The settings of the model that reads both ways and tells hidden tokens."""

from typing import Literal

from pydantic import Field, PositiveInt

from attento.models.stack_config import FeedForwardKind, Positions, StackConfig


class MaskedEncoderConfig(StackConfig):
    """BERT (Devlin et al. 2019); the defaults are its shape at a quarter of its width."""

    architecture: Literal["encoder_only"]
    layers: PositiveInt = 4
    d_model: PositiveInt = 256
    d_ff: PositiveInt = Field(1024, description="width inside the feed-forward network")
    num_heads: PositiveInt = 4
    feed_forward: FeedForwardKind = Field(
        "gelu", description="activation or gate of each layer's feed-forward network; none leaves it out"
    )
    positions: Positions = Field(
        "learned", description="added to token vectors (sinusoidal, learned) or told to attention (the others)"
    )
    max_positions: PositiveInt = Field(512, description="how many positions are learned; no limit otherwise")
    scale_embeddings: bool = Field(False, description="multiply token vectors by sqrt(d_model)")
    embedding_norm: bool = Field(True, description="normalize token vectors once their positions are added")
    segments: Literal[1, 2] = Field(1, description="sentences that are told apart by a vector added to their tokens'")
    head: bool = Field(True, description="the layers that tell hidden tokens; without them it only makes vectors")
    pooling: Literal["mean", "first", "tanh"] = Field(
        "mean", description="a sentence's vector: the mean of its tokens', the first one's, or BERT's layer over that"
    )

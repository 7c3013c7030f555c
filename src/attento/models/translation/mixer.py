"""A Transformer whose encoder has a linear layer over the positions where the other attends.

The notes call it the transposed linear layer; as a model of its own it is the MLP-Mixer (Tolstikhin et al. 2021, "MLP-
Mixer: An all-MLP architecture for vision", arXiv:2105.01601). Which position a token gathers from is fixed by the
weights, whatever stands there, and there are weights for `max_positions` positions: no source can be longer.
"""

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attento.models.layers import make_feed_forward, make_feed_forward_residual, make_residual
from attento.models.translation.config import TokenMixerConfig, TransformerStacksConfig
from attento.models.translation.transformer import Transformer
from attento.nn.positions import NoPositions
from attento.nn.relation import NO_RELATION, NoRelations, Relation


class TokenMixer(Transformer):
    """An encoder that reads by token mixing; a Transformer's decoder writes."""

    def __init__(self, config: TokenMixerConfig, source_vocab_size: int, target_vocab_size: int) -> None:
        """Make the model with freshly drawn weights; refuse what `TiedEncoderDecoder` refuses."""
        super().__init__(config, source_vocab_size, target_vocab_size)
        # Each position has weights of its own, so the order is known already (section 2).
        self.source_positions, self.source_relations = NoPositions(config.d_model), NoRelations()
        self.max_source_length = config.max_positions

    @staticmethod
    def make_encoder_layer(config: TransformerStacksConfig) -> nn.Module:
        """Make a layer that reads."""
        assert isinstance(config, TokenMixerConfig)
        return MixerLayer(config)


class TokenMixing(nn.Module):
    """Two linear maps with a ReLU between, over positions, the same for every channel: W2 max(0, W1 X + b1) + b2.

    Tolstikhin et al. 2021, eq. 1, with a ReLU for their GELU: the feed-forward network transposed. A source that is
    shorter than `max_positions` uses the weights of the positions that it has.
    """

    def __init__(self, max_positions: int, d_token: int) -> None:
        super().__init__()
        self.inner = nn.Linear(max_positions, d_token)
        self.outer = nn.Linear(d_token, max_positions)

    def forward(self, hidden: Float[Tensor, "B S D"], real: Bool[Tensor, "B S"]) -> Float[Tensor, "B S D"]:
        """Let each position gather from all real ones.

        Raises:
            IndexError: there are more positions than there are weights for.
        """
        length, most = hidden.size(1), self.inner.in_features
        if length > most:
            raise IndexError(f"a source of {length} tokens is longer than the {most} positions that this model mixes")
        channels = hidden.masked_fill(~real[:, :, None], 0).transpose(1, 2)  # (B, S, D) -> (B, D, S)
        inner = F.linear(channels, self.inner.weight[:, :length], self.inner.bias).relu()
        return F.linear(inner, self.outer.weight[:length], self.outer.bias[:length]).transpose(1, 2)


class MixerLayer(nn.Module):
    """Token mixing, then the feed-forward network, which mixes channels, each in a residual (eq. 1)."""

    def __init__(self, config: TokenMixerConfig) -> None:
        super().__init__()
        self.token_mixing = TokenMixing(config.max_positions, config.d_token)
        self.feed_forward = make_feed_forward(config)
        self.token_mixing_residual = make_residual(config)
        self.feed_forward_residual = make_feed_forward_residual(config)

    def forward(
        self,
        hidden: Float[Tensor, "B S D"],
        real: Bool[Tensor, "B S"],
        mask: Bool[Tensor, "B 1 #S S"] | None = None,
        relation: Relation = NO_RELATION,
    ) -> Float[Tensor, "B S D"]:
        """Read the source once more; what may be attended to is for the layers that attend."""
        hidden = self.token_mixing_residual(hidden, lambda x: self.token_mixing(x, real), real)
        read: Tensor = self.feed_forward_residual(hidden, self.feed_forward, real)
        return read

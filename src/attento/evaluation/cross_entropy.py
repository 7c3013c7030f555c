"""The cross-entropy of some tokens under a model, a token at a time: what every report on it has in common."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class CrossEntropy:
    """What a model gave so many tokens.

    Args:
        total_nats: minus the natural logarithm of the probability that the model gives them all.
        tokens: how many they are.
    """

    total_nats: float
    tokens: int

    @property
    def nats_per_token(self) -> float:
        """The mean cross-entropy in nats: what training calls the loss."""
        return self.total_nats / self.tokens

    @property
    def perplexity(self) -> float:
        """The exponential of `nats_per_token`; infinity where a float cannot hold it."""
        try:
            return math.exp(self.nats_per_token)
        except OverflowError:
            return math.inf

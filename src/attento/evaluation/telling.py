"""How well a model tells tokens that it does not see: those hidden in a text, or the spans that are cut out of it.

Knows no model and no file.
"""

import json
import math
from dataclasses import dataclass

from attento.errors import InputError
from attento.evaluation.cross_entropy import CrossEntropy


@dataclass(frozen=True)
class TellingReport(CrossEntropy):
    """What a model made of the tokens that it had to tell.

    Args:
        total_nats: minus the natural logarithm of the probability that the model gives them.
        tokens: how many they are.
        right: of how many it held the right one for the likeliest.

    Raises:
        InputError: there is no token, or the cross-entropy is no finite number.
    """

    right: int

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise InputError("there is nothing to measure: no token was to be told")
        if not math.isfinite(self.total_nats):
            raise InputError(
                f"the cross-entropy of the tokens is {self.total_nats}: the model gives some token no probability; "
                "its weights may be damaged, or its training diverged"
            )

    @property
    def accuracy(self) -> float:
        """The share of tokens that were told right, from 0 to 1."""
        return self.right / self.tokens

    @property
    def text(self) -> str:
        """The report as printable lines."""
        return (
            f"perplexity = {self.perplexity:.2f} ({self.nats_per_token:.4f} nats a token)\n"
            f"accuracy = {self.accuracy:.2%} ({self.right} of {self.tokens} tokens)"
        )

    def to_json(self) -> str:
        """Return the report as a JSON object, values unrounded; an infinite perplexity is null."""
        record = {
            "nats_per_token": self.nats_per_token,
            "perplexity": self.perplexity if math.isfinite(self.perplexity) else None,
            "accuracy": self.accuracy,
            "tokens": self.tokens,
            "right": self.right,
        }
        return json.dumps(record, indent=2)

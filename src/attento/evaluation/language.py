"""How well a language model foretells a text, by the token, by the character and by the byte.

Models that cut a text into different tokens can be compared by the character and by the byte alone. Knows no model and
no file.
"""

import json
import math
from dataclasses import dataclass

from attento.errors import InputError
from attento.evaluation.cross_entropy import CrossEntropy


@dataclass(frozen=True)
class LanguageReport(CrossEntropy):
    """The cross-entropy of a text under a language model.

    Args:
        total_nats: minus the natural logarithm of the probability that the model gives the text.
        tokens: how many tokens it foretold, ends of text too where it foretells them.
        characters: how many characters these tokens stand for.
        bytes: how many bytes these characters take in UTF-8.

    Raises:
        InputError: there is no text, or its cross-entropy is no finite number.
    """

    characters: int
    bytes: int

    def __post_init__(self) -> None:
        if min(self.tokens, self.characters, self.bytes) < 1:
            raise InputError(
                f"there is nothing to measure: the text has {self.tokens} tokens, {self.characters} characters and "
                f"{self.bytes} bytes"
            )
        if not math.isfinite(self.total_nats):
            raise InputError(
                f"the cross-entropy of the text is {self.total_nats}: the model gives some token no probability; "
                "its weights may be damaged, or its training diverged"
            )

    @property
    def bits_per_token(self) -> float:
        """The mean cross-entropy of a token in bits."""
        return self.total_nats / math.log(2) / self.tokens

    @property
    def bits_per_character(self) -> float:
        """The mean cross-entropy of a character in bits."""
        return self.total_nats / math.log(2) / self.characters

    @property
    def bits_per_byte(self) -> float:
        """The mean cross-entropy of a byte in bits."""
        return self.total_nats / math.log(2) / self.bytes

    @property
    def text(self) -> str:
        """The report as printable lines."""
        return (
            f"perplexity = {self.perplexity:.2f} ({self.nats_per_token:.4f} nats a token)\n"
            f"{self.bits_per_token:.4f} bits a token, {self.bits_per_character:.4f} bits a character, "
            f"{self.bits_per_byte:.4f} bits a byte\n"
            f"{self.tokens} tokens, {self.characters} characters, {self.bytes} bytes"
        )

    def to_json(self) -> str:
        """Return the report as a JSON object, values unrounded; an infinite perplexity is null."""
        record = {
            "nats_per_token": self.nats_per_token,
            "perplexity": self.perplexity if math.isfinite(self.perplexity) else None,
            "bits_per_token": self.bits_per_token,
            "bits_per_character": self.bits_per_character,
            "bits_per_byte": self.bits_per_byte,
            "tokens": self.tokens,
            "characters": self.characters,
            "bytes": self.bytes,
        }
        return json.dumps(record, indent=2)

"""What a search returns: one record a hypothesis. Needs no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Hypothesis:
    """A complete output sequence and how much the model thinks of it.

    Attributes:
        ids: the pieces, without bos and eos.
        log_probability: natural logarithm of the model's probability of the whole sequence, eos included.
        score: `log_probability` divided by the length penalty; what the hypotheses of one sentence are ordered by.
        finished: False where the sequence had grown to its cap, so that nothing but eos was allowed to follow.
    """

    ids: tuple[int, ...]
    log_probability: float
    score: float
    finished: bool

"""What every engine is to those who translate with it. Needs no torch."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from attento.decoding.config import SearchConfig
from attento.decoding.hypothesis import Hypothesis


@runtime_checkable
class Engine(Protocol):
    """Source ids in, hypotheses out."""

    @property
    def max_source_length(self) -> int | None:
        """The most tokens a source may have, with the eos that the engine adds; None where there is no limit."""
        ...

    def translate(self, sources: Sequence[Sequence[int]], search: SearchConfig) -> list[list[Hypothesis]]:
        """Return for every source, in order, at least one and at most `search.n_best` hypotheses, best first.

        Sources are pieces without bos and eos. An empty source has one hypothesis: the empty one, of probability 1. No
        source's result depends on the others.

        Raises:
            InputError: a source is longer than `max_source_length`, or has an id that is not in the vocabulary.
        """
        ...

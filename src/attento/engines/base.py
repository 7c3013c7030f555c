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

    def translate(
        self,
        sources: Sequence[Sequence[int]],
        search: SearchConfig,
        prefixes: Sequence[Sequence[int]] | None = None,
    ) -> list[list[Hypothesis]]:
        """Return for every source, in order, at least one and at most `search.n_best` hypotheses, best first.

        Sources are pieces without bos and eos. An empty source has one hypothesis: the empty one, of probability 1. No
        source's result depends on the others.

        Args:
            sources: what to translate.
            search: how to search.
            prefixes: for each source the pieces that its hypotheses begin with, part of their ids and their scores;
                without meaning where the source is empty.

        Raises:
            InputError: a source is longer than `max_source_length`, a prefix is longer than an output may be, there are
                not as many prefixes as sources, or an id is not in the vocabulary.
        """
        ...

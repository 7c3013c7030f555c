"""What is timed: so many sentences at once, so many hypotheses of each, outputs of a given length or where they end."""

from collections.abc import Sequence
from dataclasses import dataclass

from attento.decoding.config import SearchConfig


@dataclass(frozen=True)
class Case:
    """One way to translate.

    Attributes:
        batch: sentences that are translated together by one thread.
        beam_size: hypotheses of each; 1 is greedy search.
        length: pieces that every source has and every output is made to have; None where outputs end by themselves.
        threads: threads that translate, each a batch of its own.
    """

    batch: int
    beam_size: int
    length: int | None
    threads: int = 1

    @property
    def search(self) -> SearchConfig:
        """The search of this case; with a length, a source of so many pieces gets an output of as many."""
        if self.length is None:
            return SearchConfig(beam_size=self.beam_size)
        return SearchConfig(beam_size=self.beam_size, min_length=self.length, max_extra_length=0)

    @property
    def text(self) -> str:
        """The same in words."""
        search = "greedy" if self.beam_size == 1 else f"beam {self.beam_size}"
        length = "" if self.length is None else f", {self.length} pieces"
        threads = "" if self.threads == 1 else f", {self.threads} threads"
        return f"batch {self.batch}, {search}{length}{threads}"


def sources_for(case: Case, texts: Sequence[Sequence[int]], count: int) -> list[list[int]]:
    """Return `count` sources for a case: the texts in turn, each made as long as the case wants by its own pieces.

    Args:
        case: what is to be timed.
        texts: real text as ids, none of it empty.
        count: how many sources.
    """
    chosen = [list(texts[number % len(texts)]) for number in range(count)]
    if case.length is None:
        return chosen
    return [(ids * (case.length // len(ids) + 1))[: case.length] for ids in chosen]

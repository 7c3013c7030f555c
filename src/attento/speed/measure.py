"""Timing in turn: every contender once a round, so that what disturbs the machine disturbs all of them."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attento.speed.cases import Case, sources_for
from attento.speed.contenders import Contender

# A round is at least so long, so that the clock and what comes between do not count.
_LEAST_SECONDS = 0.3


@dataclass(frozen=True)
class Timed:
    """What one contender did in one case.

    Attributes:
        contender: its name.
        case: the case.
        rates: for each round, pieces written a second; where outputs end by themselves, sentences a second.
    """

    contender: str
    case: Case
    rates: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.rates)


def ratios(one: Timed, other: Timed) -> tuple[float, float, float]:
    """Return how many times faster one is than another: the median over the rounds, the least and the greatest."""
    found = [a / b for a, b in zip(one.rates, other.rates, strict=True)]
    return statistics.median(found), min(found), max(found)


def time_case(
    case: Case,
    contenders: Sequence[Contender],
    texts: Sequence[Sequence[int]],
    rounds: int,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Timed]:
    """Time every contender in a case, in turn.

    Args:
        case: how to translate.
        contenders: who translates.
        texts: real text as ids, none of it empty.
        rounds: how often each is timed; once more before that, untimed.
        tell: called with what is being timed.
    """
    sources = sources_for(case, texts, case.batch * case.threads if case.length else len(texts))
    ready = [contender.prepare(case) for contender in contenders]
    repeats = []
    for translate in ready:
        translate(sources)
        started = time.perf_counter()
        translate(sources)
        repeats.append(max(1, round(_LEAST_SECONDS / (time.perf_counter() - started))))
    rates: list[list[float]] = [[] for _ in contenders]
    for _ in range(rounds):
        for contender, translate, repeat, seen in zip(contenders, ready, repeats, rates, strict=True):
            tell(f"{case.text}: {contender.name}")
            started = time.perf_counter()
            pieces = sum(translate(sources) for _ in range(repeat))
            done = pieces if case.length else len(sources) * repeat
            seen.append(done / (time.perf_counter() - started))
    return [Timed(each.name, case, tuple(seen)) for each, seen in zip(contenders, rates, strict=True)]

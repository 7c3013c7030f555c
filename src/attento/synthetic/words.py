"""Words that know which ideas they express, and what French does where two words meet.

Every part of a sentence that has a meaning of its own (an *idea*) is one bit; each word carries the bits of the ideas
that it expresses, and two words are aligned when they share one. So alignment survives elision and contraction:
"l'animal" carries the bits of "the" and of "animal", "n'a" those of the negation and of the auxiliary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from attento.synthetic.lexicon import THIRD_PLURAL, Gender

Word: TypeAlias = tuple[str, int]

VOWELS = frozenset("aeiouyàâéèêëîïôûœ")
ASPIRATED = frozenset({"haut", "haute", "hauts", "hautes"})
ELIDING = frozenset({"le", "la", "de", "ne", "que", "je", "me"})
CONTRACTED = {"de": {"le": "du", "les": "des"}, "à": {"le": "au", "les": "aux"}}


class Agreement(NamedTuple):
    """What French words copy from a noun or pronoun."""

    person: int
    gender: Gender | None

    @property
    def plural(self) -> bool:
        """Whether more than one is meant."""
        return self.person == THIRD_PLURAL


class Head(NamedTuple):
    """The word that a phrase is about: its bit and what agrees with it."""

    idea: int
    agreement: Agreement


@dataclass(slots=True)
class Phrase:
    """Words in both languages, and the heads of the phrases inside that a sentence may refer back to."""

    english: list[Word] = field(default_factory=list)
    french: list[Word] = field(default_factory=list)
    heads: tuple[Head, ...] = ()


class Ideas:
    """Hands out one bit for each idea of a sentence."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = 1

    def new(self) -> int:
        """Return a bit that no other idea has."""
        bit = self._next
        self._next = bit << 1
        return bit


def starts_with_vowel_sound(french: str) -> bool:
    """Tell whether a French word makes the word before it elide ("l'homme", but "le haut mur")."""
    return french[0] in VOWELS or (french[0] == "h" and french not in ASPIRATED)


def after_preposition(preposition: str, idea: int, french: Sequence[Word]) -> list[Word]:
    """Put a French preposition before a noun phrase; "de" swallows an indefinite "des" or "de"."""
    words = [(word, idea) for word in preposition.split()]
    if words[-1][0] == "de" and french[0][0] in ("des", "de"):
        words[-1] = ("de", idea | french[0][1])
        return [*words, *french[1:]]
    return [*words, *french]


def french_surface(words: Sequence[Word]) -> list[Word]:
    """Join what French joins: elision ("l'animal", "qu'il", "n'a") and contraction ("du", "au", "aux")."""
    result: list[Word] = []  # back to front
    following = ""
    for word in reversed(words):
        text, idea = word
        if text in ELIDING and following and starts_with_vowel_sound(following):
            following = text[:-1] + "'" + following
            result[-1] = (following, idea | result[-1][1])
        elif text in CONTRACTED and following in CONTRACTED[text]:
            following = CONTRACTED[text][following]
            result[-1] = (following, idea | result[-1][1])
        else:
            following = text
            result.append(word)
    result.reverse()
    return result


def alignment(english: Sequence[Word], french: Sequence[Word]) -> tuple[tuple[int, int], ...]:
    """Return all pairs of positions, English first, whose words share an idea."""
    theirs = [(j, ideas) for j, (_, ideas) in enumerate(french)]
    return tuple([(i, j) for i, (_, mine) in enumerate(english) for j, yours in theirs if mine & yours])

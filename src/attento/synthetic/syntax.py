"""Sentences before they are put into words: who does what, in neither language yet.

Plain records, free to be combined by hand or by chance; `grammar` puts them into English and French.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from attento.synthetic.lexicon import (
    Adjective,
    Adverb,
    Conjunction,
    Determiner,
    Modal,
    Noun,
    Preposition,
    Pronoun,
    Tense,
    Verb,
)


@dataclass(frozen=True, slots=True)
class NounPhrase:
    """A determiner and a noun with what describes it ("the girl's small white dog that followed the boy").

    A noun phrase with a possessor has no determiner in English; it is definite in French.
    """

    determiner: Determiner
    noun: Noun
    plural: bool = False
    adjectives: tuple[Adjective, ...] = ()
    possessor: "NounPhrase | None" = None
    relative: "Relative | None" = None


@dataclass(frozen=True, slots=True)
class Coordination:
    """Two noun phrases joined by "and"."""

    first: NounPhrase
    second: NounPhrase


Nominal: TypeAlias = NounPhrase | Coordination | Pronoun


@dataclass(frozen=True, slots=True)
class Relative:
    """A relative clause: the noun that it describes is its subject, or its object where it has a subject of its own."""

    verb: Verb
    subject: Nominal | None = None
    object: Nominal | None = None
    tense: Tense = "past"
    negative: bool = False


@dataclass(frozen=True, slots=True)
class PrepositionalPhrase:
    """A preposition and its noun phrase, said of the whole clause ("behind the church")."""

    preposition: Preposition
    object: NounPhrase


Adjunct: TypeAlias = PrepositionalPhrase | Adverb


@dataclass(frozen=True, slots=True)
class Action:
    """A clause about something done: "The girl couldn't see the dog yesterday"."""

    subject: Nominal
    verb: Verb
    object: Nominal | None = None
    tense: Tense = "past"
    negative: bool = False
    modal: Modal | None = None
    adjuncts: tuple[Adjunct, ...] = ()


@dataclass(frozen=True, slots=True)
class Description:
    """A clause about how something is: "The street wasn't very wide"."""

    subject: Nominal
    adjective: Adjective
    degree: Adverb | None = None
    tense: Tense = "past"
    negative: bool = False


Clause: TypeAlias = Action | Description


@dataclass(frozen=True, slots=True)
class Statement:
    """A clause said outright, with an adverb in front where one is given ("Yesterday, the girl sang")."""

    clause: Clause
    opening: Adverb | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A clause asked about, to be answered yes or no."""

    clause: Clause


@dataclass(frozen=True, slots=True)
class Joined:
    """Two clauses joined by a conjunction."""

    first: Clause
    conjunction: Conjunction
    second: Clause


@dataclass(frozen=True, slots=True)
class Reason:
    """An action and why: "The animal didn't cross the street because it was too tired".

    The adjective is said of the action's subject or of its object, and English calls either one "it" (or "they").
    """

    action: Action
    adjective: Adjective
    degree: Adverb
    antecedent: Literal["subject", "object"]


Sentence: TypeAlias = Statement | Question | Joined | Reason

"""Sentences by chance: which ones are said, and how often, as a pure function of a random generator.

Only sense is looked after here (who can do what to what); form is the grammar's matter.
"""

from itertools import accumulate
from random import Random
from typing import Literal, TypeAlias, TypeVar, get_args

from attento.synthetic.lexicon import (
    ADJECTIVES,
    CONJUNCTIONS,
    DEGREES,
    DETERMINERS,
    INDIRECT_VERBS,
    INTRANSITIVE_VERBS,
    MODALS,
    MOTION_VERBS,
    NOUNS,
    PREPOSITIONS,
    PRONOUNS,
    TIMES,
    TRANSITIVE_VERBS,
    Adjective,
    Adverb,
    Determiner,
    Gender,
    Kind,
    Modal,
    Noun,
    Tense,
    Verb,
)
from attento.synthetic.syntax import (
    Action,
    Adjunct,
    Clause,
    Coordination,
    Description,
    Joined,
    Nominal,
    NounPhrase,
    PrepositionalPhrase,
    Question,
    Reason,
    Relative,
    Sentence,
    Statement,
)

SentenceKind: TypeAlias = Literal[
    "anaphora", "transitive", "intransitive", "description", "relative", "coordination", "question"
]
Choice = TypeVar("Choice")

# How often each kind of sentence is said.
SHARES: dict[SentenceKind, float] = {
    "anaphora": 0.38,
    "transitive": 0.2,
    "intransitive": 0.1,
    "description": 0.08,
    "relative": 0.1,
    "coordination": 0.07,
    "question": 0.07,
}

_KINDS: tuple[Kind, ...] = get_args(Kind)
_GENDERS: tuple[Gender, ...] = get_args(Gender)
_NOUNS = {(kind, gender): tuple(n for n in NOUNS if (n.kind, n.gender) == (kind, gender)) for kind in _KINDS
          for gender in _GENDERS}  # fmt: skip
_BEFORE = {kind: tuple(a for a in ADJECTIVES if a.precedes and kind in a.kinds) for kind in _KINDS}
_AFTER = {kind: tuple(a for a in ADJECTIVES if not a.precedes and kind in a.kinds) for kind in _KINDS}
_THE = DETERMINERS[0]
_SINGULAR = tuple(d for d in DETERMINERS if d.english)
_PLURAL = tuple(d for d in DETERMINERS if d.english_plural)
# What can stand in a negated clause or be meant by "it": neither "a" nor a quantity.
_DEFINITE = tuple(d for d in DETERMINERS if d.english and d.english_plural and d.english != "a")
_GENDERED_PRONOUNS = tuple(p for p in PRONOUNS if p.gender)
_ACTED_ON = {kind: tuple(v for v in TRANSITIVE_VERBS if kind in v.objects) for kind in _KINDS}
_ACTING = {kind: tuple(v for v in TRANSITIVE_VERBS if kind in v.subjects) for kind in _KINDS}

# What an animal can leave undone for a reason of its own or of the thing's: the adjectives that fit the one only.
_OBSTACLES: tuple[Kind, ...] = ("path", "height", "load", "food")
_ANIMAL_VERBS = {kind: tuple(v for v in _ACTED_ON[kind] if v.objects == (kind,)) for kind in _OBSTACLES}
_ANIMAL_REASONS = tuple(a for a in ADJECTIVES if a.kinds == ("human", "animal"))
_THING_REASONS = {kind: tuple(a for a in ADJECTIVES if a.kinds == (kind,)) for kind in _OBSTACLES}


class Sampler:
    """Draws sentences; the same generator state gives the same sentences."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._kinds = tuple(SHARES)
        self._bounds = tuple(accumulate(SHARES.values()))

    def sentence(self) -> tuple[SentenceKind, Sentence]:
        """Draw a sentence and say of which kind it is."""
        (kind,) = self._random.choices(self._kinds, cum_weights=self._bounds)
        match kind:
            case "anaphora":
                return kind, self._reason()
            case "transitive":
                return kind, self._statement(self._transitive())
            case "intransitive":
                return kind, self._statement(self._intransitive())
            case "description":
                return kind, Statement(self._description())
            case "relative":
                return kind, Statement(self._with_relative())
            case "coordination":
                return kind, self._coordination()
            case "question":
                return kind, Question(self._clause())

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _pick(self, choices: tuple[Choice, ...]) -> Choice:
        # Much faster than Random.choice, and sentences are made by the hundred thousand.
        return choices[int(self._random.random() * len(choices))]

    def _noun(self, kind: Kind) -> Noun:
        return self._pick(_NOUNS[kind, self._pick(_GENDERS)])

    def _determiner(self, plural: bool, definite: bool) -> Determiner:
        if self._chance(0.6):
            return _THE
        return self._pick(_DEFINITE if definite else _PLURAL if plural else _SINGULAR)

    def _adjectives(self, kind: Kind) -> tuple[Adjective, ...]:
        draw = self._random.random()
        if draw < 0.62:
            return ()
        first, second = self._pick(_BEFORE[kind]), self._pick(_AFTER[kind])
        return (first,) if draw < 0.78 else (second,) if draw < 0.94 else (first, second)

    def _noun_phrase(self, kind: Kind, *, definite: bool = False, plain: bool = False) -> NounPhrase:
        plural = self._chance(0.25)
        adjectives = () if plain else self._adjectives(kind)
        owned = not plain and kind in ("animal", "load", "thing") and self._chance(0.08)
        possessor = self._noun_phrase("human", definite=True, plain=True) if owned else None
        return NounPhrase(self._determiner(plural, definite), self._noun(kind), plural, adjectives, possessor)

    def _subject(self, kind: Kind, definite: bool, any_person: bool) -> Nominal:
        if kind == "human" and self._chance(0.2):
            return self._pick(PRONOUNS if any_person else _GENDERED_PRONOUNS)
        return self._pair(kind) if self._chance(0.08) else self._noun_phrase(kind, definite=definite)

    def _pair(self, kind: Kind) -> Nominal:
        first, second = (self._noun_phrase(kind, definite=True, plain=True) for _ in range(2))
        return first if first.noun == second.noun else Coordination(first, second)

    def _tense(self) -> Tense:
        return "past" if self._chance(0.65) else "present"

    def _modal(self) -> Modal | None:
        return self._pick(MODALS) if self._chance(0.12) else None

    def _adjuncts(self, tense: Tense, probability: float, placed: bool = True) -> tuple[Adjunct, ...]:
        if not self._chance(probability):
            return ()
        if not placed or self._chance(0.5):
            return (self._pick(TIMES[tense]),)
        preposition = self._pick(PREPOSITIONS)
        return (PrepositionalPhrase(preposition, self._noun_phrase(self._pick(preposition.kinds), definite=True)),)

    def _statement(self, action: Action) -> Statement:
        if not action.adjuncts and self._chance(0.1):
            return Statement(action, self._pick(TIMES[action.tense]))
        return Statement(action)

    def _clause(self) -> Clause:
        draw = self._random.random()
        return self._transitive() if draw < 0.6 else self._intransitive() if draw < 0.8 else self._description()

    def _transitive(self) -> Action:
        verb = self._pick(INDIRECT_VERBS if self._chance(0.12) else TRANSITIVE_VERBS)
        negative = self._chance(0.25)
        subject = self._subject(self._pick(verb.subjects), definite=negative, any_person=True)
        tense = self._tense()
        return Action(
            subject,
            verb,
            self._object(verb, negative),
            tense,
            negative,
            self._modal(),
            self._adjuncts(tense, 0.2),
        )

    def _object(self, verb: Verb, negative: bool) -> Nominal:
        kind = self._pick(verb.objects)
        if kind == "human" and not verb.preposition and self._chance(0.3):
            return self._pick(_GENDERED_PRONOUNS)
        if not verb.preposition and self._chance(0.05):
            return self._pair(kind)
        if negative and not verb.preposition and self._chance(0.3):
            return NounPhrase(DETERMINERS[1], self._noun(kind), self._chance(0.5), self._adjectives(kind))
        return self._noun_phrase(kind, definite=negative)

    def _intransitive(self) -> Action:
        negative, tense, modal = self._chance(0.25), self._tense(), self._modal()
        goes = self._chance(0.5)
        verb = self._pick(MOTION_VERBS if goes else INTRANSITIVE_VERBS)
        any_person = not (verb.takes_etre and tense == "past" and modal is None)
        subject = self._subject(self._pick(verb.subjects), definite=negative, any_person=any_person)
        place = self._noun_phrase("place", definite=True) if goes else None
        adjuncts = self._adjuncts(tense, 0.2 if goes else 0.6, placed=not verb.takes_etre)
        return Action(subject, verb, place, tense, negative, modal, adjuncts)

    def _description(self) -> Description:
        kind, negative = self._pick(_KINDS), self._chance(0.25)
        adjective = self._pick(_BEFORE[kind] if self._chance(0.25) else _AFTER[kind])
        degree = self._pick(DEGREES) if self._chance(0.5) else None
        subject = self._subject(kind, definite=negative, any_person=False)
        if isinstance(subject, NounPhrase) and adjective in subject.adjectives:
            subject = self._noun_phrase(kind, definite=negative, plain=True)
        return Description(subject, adjective, degree, self._tense(), negative)

    def _relative(self, kind: Kind) -> Relative:
        negative = self._chance(0.15)
        if _ACTING[kind] and self._chance(0.5):
            verb = self._pick(_ACTING[kind])
            thing = self._noun_phrase(self._pick(verb.objects), definite=True, plain=True)
            return Relative(verb, None, thing, self._tense(), negative)
        subject = self._subject("human", definite=True, any_person=True)
        return Relative(self._pick(_ACTED_ON[kind]), subject, None, self._tense(), negative)

    def _described(self, kind: Kind) -> NounPhrase:
        head = self._noun_phrase(kind, definite=True, plain=self._chance(0.5))
        return NounPhrase(
            head.determiner, head.noun, head.plural, head.adjectives, head.possessor, self._relative(kind)
        )

    def _with_relative(self) -> Clause:
        if self._chance(0.25):
            kind = self._pick(_KINDS)
            return Description(self._described(kind), self._pick(_AFTER[kind]), None, self._tense(), self._chance(0.2))
        verb = self._pick(TRANSITIVE_VERBS)
        tense, negative = self._tense(), self._chance(0.2)
        subject, thing = self._pick(verb.subjects), self._pick(verb.objects)
        if self._chance(0.5):
            return Action(
                self._described(subject), verb, self._noun_phrase(thing, definite=True, plain=True), tense, negative
            )
        return Action(self._subject(subject, True, True), verb, self._described(thing), tense, negative)

    def _coordination(self) -> Joined:
        return Joined(self._clause(), self._pick(CONJUNCTIONS), self._clause())

    def _reason(self) -> Reason:
        """Draw an action left undone for a reason.

        Which of the two the pronoun means, its gender and its number are independent of one another; the other noun
        is of the other gender three times in four.
        """
        kind = self._pick(_OBSTACLES)
        of_subject, plural = self._chance(0.5), self._chance(0.15)
        gender = self._pick(_GENDERS)
        other: Gender = gender if self._chance(0.25) else "f" if gender == "m" else "m"
        adjective = self._pick(_ANIMAL_REASONS if of_subject else _THING_REASONS[kind])
        action = Action(
            self._mentioned("animal", gender if of_subject else other, plural, adjective, distant=0.3),
            self._pick(_ANIMAL_VERBS[kind]),
            self._mentioned(kind, other if of_subject else gender, plural, adjective, distant=0.06),
            "past",
            True,
            self._pick(MODALS) if self._chance(0.5) else None,
            (self._pick(TIMES["past"]),) if self._chance(0.15) else (),
        )
        return Reason(action, adjective, self._degree(), "subject" if of_subject else "object")

    def _degree(self) -> Adverb:
        return DEGREES[0] if self._chance(0.7) else self._pick(DEGREES)

    def _mentioned(self, kind: Kind, gender: Gender, plural: bool, said: Adjective, distant: float) -> NounPhrase:
        adjectives = (self._pick(_BEFORE[kind]),) if self._chance(0.15) else ()
        if said in adjectives:
            adjectives = ()
        possessor, relative = None, None
        if self._chance(distant):
            relative = self._relative(kind)
        elif self._chance(0.12):
            possessor = self._noun_phrase("human", definite=True, plain=True)
        noun = self._pick(_NOUNS[kind, gender])
        return NounPhrase(self._determiner(plural, True), noun, plural, adjectives, possessor, relative)

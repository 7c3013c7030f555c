"""A small English-French language that never runs out: aligned example sentences, drawn by chance, none of them twice.

The sentences with a pronoun are the point. In "The animal didn't cross the street because it was too tired." and "...
too wide.", the French of "it was too ..." agrees with what "it" means, which only the adjective tells, and whose gender
only a word far to the left tells. The English sentence alone decides the French one, so that an exact answer exists.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Literal

from attento.errors import InputError
from attento.synthetic.grammar import Referent, reason_phrases, sentence_phrase
from attento.synthetic.lexicon import Gender
from attento.synthetic.sampling import Sampler, SentenceKind
from attento.synthetic.syntax import Question, Reason, Sentence
from attento.synthetic.words import Ideas, Word, alignment, french_surface

LONGEST = 16
"""English words in the longest sentence that is drawn."""


@dataclass(frozen=True, slots=True)
class Anaphora:
    """What the pronoun of a sentence means. Positions count words, which are what white space separates.

    Attributes:
        pronoun: position of "it" or "they" in English.
        antecedent: position of the noun that it means, in English.
        distractor: position of the noun that it could have meant had the adjective been another, in English.
        adjective: position of the adjective that decides, in English.
        french_pronoun: position of the word with the pronoun in French ("qu'il").
        french_adjective: position of the agreeing adjective in French.
        refers_to: what the antecedent is in its clause.
        gender: the antecedent's gender in French, and so the pronoun's.
        distractor_gender: the distractor's gender in French.
        wrong_french: the French sentence with pronoun and adjective of the other gender. It is what reading the
            distractor into the pronoun would give where the two genders differ.
    """

    pronoun: int
    antecedent: int
    distractor: int
    adjective: int
    french_pronoun: int
    french_adjective: int
    refers_to: Literal["subject", "object"]
    gender: Gender
    distractor_gender: Gender
    wrong_french: str

    @property
    def is_contrastive(self) -> bool:
        """Whether the two genders differ, so that only the right antecedent gives the right pronoun."""
        return self.gender != self.distractor_gender


@dataclass(frozen=True, slots=True)
class Example:
    """A sentence, its translation, and which words stand for which (pairs of positions, English first)."""

    english: str
    french: str
    kind: SentenceKind
    alignment: tuple[tuple[int, int], ...]
    anaphora: Anaphora | None = None


def realize(sentence: Sentence, kind: SentenceKind) -> Example:
    """Put a sentence into both languages."""
    ideas = Ideas()
    if isinstance(sentence, Reason):
        phrase, contrast, referent = reason_phrases(sentence, ideas)
        english, french = phrase.english, french_surface(phrase.french)
        wrong = _written(french_surface(contrast), ".")
        anaphora = _anaphora(sentence, referent, english, french, wrong)
        return Example(_written(english, "."), _written(french, "."), kind, alignment(english, french), anaphora)
    phrase = sentence_phrase(sentence, ideas)
    english, french = phrase.english, french_surface(phrase.french)
    asked = isinstance(sentence, Question)
    # French sets its question mark apart, as a word of its own.
    return Example(
        _written(english, "?" if asked else "."),
        _written(french, "" if asked else "."),
        kind,
        alignment(english, french),
    )


def draw(random: Random) -> Example:
    """Draw one example, whether or not it was drawn before."""
    sampler = Sampler(random)
    while True:
        kind, sentence = sampler.sentence()
        example = realize(sentence, kind)
        if example.english.count(" ") < LONGEST:
            return example


def sentences(seed: int, exclude: Collection[str] = ()) -> Iterator[Example]:
    """Yield examples without end, no English sentence twice and none of those to exclude.

    The order is a pure function of the seed and of what is excluded. What was said is remembered, so memory grows with
    the number taken.
    """
    random = Random(seed)
    seen = set(exclude)
    while True:
        example = draw(random)
        if example.english not in seen:
            seen.add(example.english)
            yield example


def split(seed: int, train: int, test: int, exclude: Collection[str] = ()) -> tuple[list[Example], list[Example]]:
    """Return examples to train on and to test on; no English sentence is in both, nor twice in either.

    The test examples do not depend on the number to train on.

    Raises:
        InputError: a number is negative.
    """
    if min(train, test) < 0:
        raise InputError(f"`train` and `test` must not be negative, but got train={train} and test={test}")
    stream = sentences(seed, exclude)
    held_out = list(islice(stream, test))
    return list(islice(stream, train)), held_out


def pronoun_agreement(examples: Sequence[Example], translations: Sequence[str]) -> float:
    """Return the share of sentences with a pronoun in which it and its adjective agree with the antecedent.

    A translation is right when its last word with "il", "elle", "ils" or "elles" after "qu'" is the reference's, and
    the reference's adjective, in its agreeing form, comes after it. Case and punctuation do not count; examples
    without a pronoun are left out.

    Raises:
        InputError: not one translation for each example, or no example has a pronoun.
    """
    if len(examples) != len(translations):
        raise InputError(f"each example needs one translation, but got {len(examples)} and {len(translations)}")
    pairs = [(e.french, e.anaphora, t) for e, t in zip(examples, translations, strict=True) if e.anaphora is not None]
    if not pairs:
        raise InputError("pronoun agreement needs at least one example with a pronoun, but there is none")
    return sum(_agrees(french, anaphora, translation) for french, anaphora, translation in pairs) / len(pairs)


def _agrees(french: str, anaphora: Anaphora, translation: str) -> bool:
    reference, words = _words(french), _words(translation)
    pronouns = [i for i, word in enumerate(words) if word in ("qu'il", "qu'elle", "qu'ils", "qu'elles")]
    return (
        bool(pronouns)
        and words[pronouns[-1]] == reference[anaphora.french_pronoun]
        and reference[anaphora.french_adjective] in words[pronouns[-1] + 1 :]
    )


def _words(text: str) -> list[str]:
    return [
        re.sub(r"[.,;:!?]+$", "", word) for word in text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split()
    ]


def _written(words: Sequence[Word], end: str) -> str:
    text = " ".join([word for word, _ in words])
    return text[0].upper() + text[1:] + end


def _anaphora(
    sentence: Reason, referent: Referent, english: Sequence[Word], french: Sequence[Word], wrong_french: str
) -> Anaphora:
    return Anaphora(
        pronoun=_position(english, referent.pronoun),
        antecedent=_position(english, referent.antecedent),
        distractor=_position(english, referent.distractor),
        adjective=_position(english, referent.adjective),
        french_pronoun=_position(french, referent.pronoun),
        french_adjective=_position(french, referent.adjective),
        refers_to=sentence.antecedent,
        gender=referent.gender,
        distractor_gender=referent.distractor_gender,
        wrong_french=wrong_french,
    )


def _position(words: Sequence[Word], idea: int) -> int:
    return next(i for i, (_, ideas) in enumerate(words) if ideas & idea)

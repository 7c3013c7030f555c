"""Conjugation: the verb of a clause with all its helpers, in both languages at once.

English has do-support, modals and the irregular pasts of the lexicon; French has the present, the passé composé with
its two auxiliaries and its agreements, ne ... pas, object pronouns before the verb, and the imparfait of the copula.
"""

from dataclasses import dataclass
from typing import NamedTuple

from attento.synthetic.lexicon import AVOIR, ETRE, ETRE_PAST, FIRST, THIRD, Modal, Pronoun, Tense, Verb
from attento.synthetic.words import Agreement, Ideas, Phrase, Word


@dataclass(slots=True)
class VerbGroup:
    """The words of a verb: English keeps its auxiliary apart, since a question puts it before the subject."""

    auxiliary: list[Word]
    main: list[Word]
    french: list[Word]


class VerbIdeas(NamedTuple):
    """Bits of what a verb and its helpers express."""

    time: int
    refusal: int
    act: int
    governor: int
    particle: int


def verb_group(
    verb: Verb,
    subject: Agreement,
    ideas: Ideas,
    tense: Tense,
    negative: bool,
    modal: Modal | None = None,
    *,
    clitic: Pronoun | None = None,
    preceding_object: Agreement | None = None,
    inverted: bool = False,
) -> VerbGroup:
    """Conjugate a verb in both languages: do-support here, ne ... pas and the passé composé there.

    `clitic` is an object pronoun; `preceding_object` is the antecedent of "que", which the participle agrees with.
    """
    time, refusal = ideas.new(), ideas.new() if negative else 0
    act, governor = ideas.new(), ideas.new()
    # A particle that French says too ("went to", "allé à") is an idea of its own; "look for" is one with its verb.
    bits = VerbIdeas(time, refusal, act, governor, particle=ideas.new() if verb.preposition else act)
    auxiliary, main = _english_verb(verb, subject, tense, modal, bits, inverted)
    before_verb: list[Word] = []
    if clitic is not None:
        bit = ideas.new()
        main.append((clitic.english_object, bit))
        before_verb.append((clitic.french_object, bit))
        preceding_object = Agreement(clitic.person, clitic.gender)
    if modal is not None:
        finite, governed = _french_modal(modal, subject.person, tense, time, governor)
        before_finite: list[Word] = []
        rest = [*governed, *before_verb, (verb.infinitive, act)]
    elif tense == "present":
        finite, before_finite, rest = (verb.present[subject.person], act), before_verb, []
    else:
        finite = ((ETRE if verb.takes_etre else AVOIR)[subject.person], time)
        before_finite, rest = before_verb, [(_participle(verb, subject, preceding_object), act)]
    french = [("ne", refusal), *before_finite, finite, ("pas", refusal)] if negative else [*before_finite, finite]
    return VerbGroup(auxiliary, main, french + rest)


def _participle(verb: Verb, subject: Agreement, preceding_object: Agreement | None) -> str:
    agreement = subject if verb.takes_etre else preceding_object
    if agreement is None:
        return verb.participle
    assert agreement.gender is not None, "English does not tell the gender that the participle agrees with"
    return inflect(verb.participle, agreement)


def inflect(participle: str, agreement: Agreement) -> str:
    """Return the form of a participle that agrees with a noun: vu, vue, vus, vues; pris, prise, pris, prises."""
    feminine = participle + "e" if agreement.gender == "f" else participle
    return feminine + "s" if agreement.plural and not feminine.endswith("s") else feminine


def _french_modal(modal: Modal, person: int, tense: Tense, time: int, governor: int) -> tuple[Word, list[Word]]:
    if tense == "present":
        return (modal.present[person], governor), []
    return (AVOIR[person], time), [(modal.participle, governor)]


def _english_verb(
    verb: Verb,
    subject: Agreement,
    tense: Tense,
    modal: Modal | None,
    bits: VerbIdeas,
    inverted: bool,
) -> tuple[list[Word], list[Word]]:
    time, refusal, act, governor, particle_bit = bits
    ending = "n't" if refusal else ""
    past, third = tense == "past", subject.person == THIRD
    base = [(verb.english, act)]
    particle = [(verb.particle, particle_bit)] if verb.particle else []
    if modal is not None and modal.is_auxiliary:
        word = (modal.english_past if past else modal.english) + ending
        # "can't" has one n only.
        return [(word.replace("cann", "can"), time | refusal | governor)], base + particle
    forms: Verb | Modal = verb if modal is None else modal
    leader = act if modal is None else governor
    tail = particle if modal is None else [("to", act), *base, *particle]
    if refusal or inverted:
        support = "did" if past else "does" if third else "do"
        return [(support + ending, time | refusal)], [(forms.english, leader), *tail]
    word = forms.english_past if past else forms.english_third if third else forms.english
    return [], [(word, time | leader), *tail]


def copula_words(person: int, tense: Tense, being: int, refusal: int) -> Phrase:
    """Return the forms of "be" and "être": the one French verb whose past is the imparfait here."""
    if tense == "past":
        english, french = "was" if person in (FIRST, THIRD) else "were", ETRE_PAST[person]
    else:
        english, french = "am" if person == FIRST else "is" if person == THIRD else "are", ETRE[person]
    if not refusal:
        return Phrase([(english, being)], [(french, being)])
    return Phrase([(english + "n't", being | refusal)], [("ne", refusal), (french, being), ("pas", refusal)])

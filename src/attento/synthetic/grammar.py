"""The grammar of noun phrases, clauses and sentences: a sentence in, its English and its French words out.

Every function puts one construction of `syntax` into words in both languages at once, so that one rule stands in one
place. Chooses nothing: which sentence is said is the caller's matter.
"""

from typing import NamedTuple

from attento.synthetic.lexicon import THIRD, THIRD_PLURAL, Adverb, Determiner, Gender, Pronoun
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
)
from attento.synthetic.verbs import copula_words, verb_group
from attento.synthetic.words import Agreement, Head, Ideas, Phrase, Word, after_preposition, starts_with_vowel_sound


def agreement_of(phrase: NounPhrase) -> Agreement:
    """Return the person and gender of a noun phrase."""
    return Agreement(THIRD_PLURAL if phrase.plural else THIRD, phrase.noun.gender)


def nominal_phrase(nominal: Nominal, ideas: Ideas, negated: bool = False) -> Phrase:
    """Put a noun phrase, a coordination or a subject pronoun into words.

    `negated` marks the direct object of a negated verb, whose indefinite article becomes "any" and "de".
    """
    if isinstance(nominal, NounPhrase):
        return noun_phrase(nominal, ideas, negated)
    if isinstance(nominal, Coordination):
        return _coordination(nominal, ideas, negated)
    idea = ideas.new()
    head = Head(idea, Agreement(nominal.person, nominal.gender))
    return Phrase([(nominal.english, idea)], [(nominal.french, idea)], (head,))


def noun_phrase(phrase: NounPhrase, ideas: Ideas, negated: bool = False) -> Phrase:
    """Put a noun phrase into words, with its possessor before it in English and after it in French."""
    noun, plural, gender = phrase.noun, phrase.plural, phrase.noun.gender
    idea = ideas.new()
    english: list[Word] = []
    before: list[Word] = []
    after: list[Word] = []
    following = noun.french_plural if plural else noun.french
    # From the noun outwards: a form before a vowel depends on the word that follows it.
    for adjective in reversed(phrase.adjectives):
        bit = ideas.new()
        english.insert(0, (adjective.english, bit))
        if adjective.precedes:
            elides = gender == "m" and not plural and starts_with_vowel_sound(following)
            following = adjective.before_vowel if elides else adjective.form(gender, plural)
            before.insert(0, (following, bit))
        else:
            after.insert(0, (adjective.form(gender, plural), bit))
    french = [*before, (noun.french_plural if plural else noun.french, idea), *after]
    english.append((noun.english_plural if plural else noun.english, idea))
    result = Phrase(english, french, (Head(idea, agreement_of(phrase)),))
    if phrase.possessor is None:
        _add_determiner(phrase, result, ideas.new(), following, negated)
    else:
        _add_possessor(phrase, phrase.possessor, result, ideas)
    if phrase.relative is not None:
        clause = _relative_clause(phrase.relative, phrase, ideas)
        result.english += clause.english
        result.french += clause.french
    return result


def _add_determiner(phrase: NounPhrase, result: Phrase, idea: int, following: str, negated: bool) -> None:
    determiner, plural = phrase.determiner, phrase.plural
    english = determiner.english_plural if plural else determiner.english
    assert english, f"{determiner} cannot stand in this number"
    french = _french_determiner(determiner, phrase.noun.gender, plural, following)
    if determiner.english == "a":
        if negated:
            french = "de"
            english = "any" if plural else english
        elif plural and phrase.adjectives and phrase.adjectives[0].precedes:
            french = "de"  # de petits chiens
        if english == "a" and result.english[0][0][0] in "aeiou":
            english = "an"
    result.english.insert(0, (english, idea))
    result.french[:0] = [(word, idea) for word in french.split()]


def _french_determiner(determiner: Determiner, gender: Gender, plural: bool, following: str) -> str:
    if plural:
        return determiner.french[4]
    return determiner.french[2 * (gender == "f") + starts_with_vowel_sound(following)]


def _add_possessor(phrase: NounPhrase, possessor: NounPhrase, result: Phrase, ideas: Ideas) -> None:
    owner, of, definite = noun_phrase(possessor, ideas), ideas.new(), ideas.new()
    name, idea = owner.english[-1]
    genitive = name + ("'" if possessor.plural and name.endswith("s") else "'s")
    result.english[:0] = [*owner.english[:-1], (genitive, idea | of | definite)]
    article = "les" if phrase.plural else "la" if phrase.noun.gender == "f" else "le"
    result.french.insert(0, (article, definite))
    result.french += after_preposition("de", of, owner.french)


def _coordination(pair: Coordination, ideas: Ideas, negated: bool) -> Phrase:
    first = noun_phrase(pair.first, ideas, negated)
    both = ideas.new()
    second = noun_phrase(pair.second, ideas, negated)
    # Masculine as soon as one of the two is.
    gender: Gender = "f" if pair.first.noun.gender == pair.second.noun.gender == "f" else "m"
    return Phrase(
        [*first.english, ("and", both), *second.english],
        [*first.french, ("et", both), *second.french],
        (Head(first.heads[0].idea | second.heads[0].idea, Agreement(THIRD_PLURAL, gender)),),
    )


def _relative_clause(relative: Relative, antecedent: NounPhrase, ideas: Ideas) -> Phrase:
    link = ideas.new()
    agreement = agreement_of(antecedent)
    who = "who" if relative.subject is None and antecedent.noun.kind == "human" else "that"
    if relative.subject is None:
        rest = _predicate(agreement, relative, ideas)
        return Phrase([(who, link), *rest.english], [("qui", link), *rest.french])
    subject = nominal_phrase(relative.subject, ideas)
    group = verb_group(
        relative.verb, subject.heads[0].agreement, ideas, relative.tense, relative.negative, preceding_object=agreement
    )
    return Phrase(
        [(who, link), *subject.english, *group.auxiliary, *group.main],
        [("que", link), *subject.french, *group.french],
    )


def _predicate(subject: Agreement, clause: Action | Relative, ideas: Ideas, inverted: bool = False) -> Phrase:
    """Put all of a clause but its subject into words; the first English word of a question is the auxiliary."""
    modal = clause.modal if isinstance(clause, Action) else None
    clitic = clause.object if isinstance(clause.object, Pronoun) else None
    group = verb_group(
        clause.verb, subject, ideas, clause.tense, clause.negative, modal, clitic=clitic, inverted=inverted
    )
    result = Phrase([*group.auxiliary, *group.main], group.french)
    if clause.object is not None and clitic is None:
        direct = not clause.verb.preposition
        complement = nominal_phrase(clause.object, ideas, negated=clause.negative and direct)
        result.english += complement.english
        result.heads = complement.heads
        if direct:
            result.french += complement.french
        else:
            # Aligned with the particle where English has one ("went to"), else with the verb ("entered").
            result.french += after_preposition(clause.verb.preposition, group.main[-1][1], complement.french)
    return result


def clause_phrase(clause: Clause, ideas: Ideas, inverted: bool = False) -> Phrase:
    """Put a clause into words; `heads` are those of its subject and, if it has one, its object."""
    if isinstance(clause, Description):
        return _description(clause, ideas, inverted)
    subject = nominal_phrase(clause.subject, ideas)
    rest = _predicate(subject.heads[0].agreement, clause, ideas, inverted)
    words = [rest.english[0], *subject.english, *rest.english[1:]] if inverted else subject.english + rest.english
    result = Phrase(words, subject.french + rest.french, subject.heads + rest.heads)
    for adjunct in clause.adjuncts:
        added = _adjunct(adjunct, ideas)
        result.english += added.english
        result.french += added.french
    return result


def _description(clause: Description, ideas: Ideas, inverted: bool) -> Phrase:
    subject = nominal_phrase(clause.subject, ideas)
    agreement = subject.heads[0].agreement
    assert agreement.gender is not None, "English does not tell the gender that the adjective agrees with"
    being, refusal = ideas.new(), ideas.new() if clause.negative else 0
    copula = copula_words(agreement.person, clause.tense, being, refusal)
    quality = _adverb(clause.degree, ideas) if clause.degree else Phrase()
    bit = ideas.new()
    quality.english.append((clause.adjective.english, bit))
    quality.french.append((clause.adjective.form(agreement.gender, agreement.plural), bit))
    english = copula.english + subject.english if inverted else subject.english + copula.english
    return Phrase(english + quality.english, subject.french + copula.french + quality.french, subject.heads)


def _adjunct(adjunct: Adjunct, ideas: Ideas) -> Phrase:
    if isinstance(adjunct, PrepositionalPhrase):
        place, preposition = ideas.new(), adjunct.preposition
        inside = noun_phrase(adjunct.object, ideas)
        english = [(word, place) for word in preposition.english.split()]
        return Phrase(english + inside.english, after_preposition(preposition.french, place, inside.french))
    return _adverb(adjunct, ideas)


def _adverb(adverb: Adverb, ideas: Ideas) -> Phrase:
    idea = ideas.new()
    return Phrase(
        [(word, idea) for word in adverb.english.split()],
        [(word, idea) for word in adverb.french.split()],
    )


class Referent(NamedTuple):
    """Bits of the parts of a sentence with a reason that tell what its pronoun means."""

    pronoun: int
    antecedent: int
    distractor: int
    adjective: int
    gender: Gender
    distractor_gender: Gender


def sentence_phrase(sentence: Sentence, ideas: Ideas) -> Phrase:
    """Put a sentence into words, without its capital letter and its end mark."""
    if isinstance(sentence, Reason):
        return reason_phrases(sentence, ideas)[0]
    if isinstance(sentence, Question):
        return _question(sentence.clause, ideas)
    if isinstance(sentence, Joined):
        return _joined(sentence, ideas)
    clause = clause_phrase(sentence.clause, ideas)
    if sentence.opening is None:
        return clause
    opening = _adverb(sentence.opening, ideas)
    return Phrase(_with_comma(opening.english) + clause.english, _with_comma(opening.french) + clause.french)


def _joined(sentence: Joined, ideas: Ideas) -> Phrase:
    first, second = clause_phrase(sentence.first, ideas), clause_phrase(sentence.second, ideas)
    conjunction, link = sentence.conjunction, ideas.new()
    if conjunction.comma:
        first = Phrase(_with_comma(first.english), _with_comma(first.french))
    return Phrase(
        [*first.english, (conjunction.english, link), *second.english],
        [*first.french, (conjunction.french, link), *second.french],
    )


def _with_comma(words: list[Word]) -> list[Word]:
    return [*words[:-1], (words[-1][0] + ",", words[-1][1])]


def _question(clause: Clause, ideas: Ideas) -> Phrase:
    asked, end = ideas.new(), ideas.new()
    phrase = clause_phrase(clause, ideas, inverted=True)
    opener, closer = phrase.english[0], phrase.english[-1]
    phrase.english[0] = (opener[0], opener[1] | asked)
    phrase.english[-1] = (closer[0], closer[1] | end)
    phrase.french = [("est-ce", asked), ("que", asked), *phrase.french, ("?", end)]
    return phrase


def reason_phrases(sentence: Reason, ideas: Ideas) -> tuple[Phrase, list[Word], Referent]:
    """Put a sentence with a reason into words.

    Returns:
        The phrase; the French words as they would be if the pronoun were of the other gender; what refers to what.
    """
    phrase = clause_phrase(sentence.action, ideas)
    subject, object_ = phrase.heads
    antecedent, distractor = (subject, object_) if sentence.antecedent == "subject" else (object_, subject)
    gender, plural = antecedent.agreement.gender, antecedent.agreement.plural
    other = distractor.agreement.gender
    assert gender is not None and other is not None, "a pronoun cannot refer back to another pronoun"
    link, it, adjective = ideas.new(), ideas.new(), ideas.new()
    copula = copula_words(antecedent.agreement.person, "past", ideas.new(), 0)
    degree = _adverb(sentence.degree, ideas)

    def because(of: Gender) -> list[Word]:
        pronoun = ("elle" if of == "f" else "il") + ("s" if plural else "")
        quality = (sentence.adjective.form(of, plural), adjective)
        return [("parce", link), ("que", link), (pronoun, it), *copula.french, *degree.french, quality]

    phrase.english += [("because", link), ("they" if plural else "it", it), *copula.english, *degree.english]
    phrase.english.append((sentence.adjective.english, adjective))
    contrast = phrase.french + because("m" if gender == "f" else "f")
    phrase.french = phrase.french + because(gender)
    return phrase, contrast, Referent(it, antecedent.idea, distractor.idea, adjective, gender, other)

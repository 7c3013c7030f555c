"""The two grammars against sentence pairs and alignments written by hand."""

from typing import Any, Literal

import pytest

from attento.synthetic import realize
from attento.synthetic.lexicon import (
    ADJECTIVES,
    CONJUNCTIONS,
    DEGREES,
    DETERMINERS,
    MODALS,
    NOUNS,
    PREPOSITIONS,
    PRONOUNS,
    TIMES,
    VERBS,
    Adjective,
    Determiner,
    Verb,
)
from attento.synthetic.syntax import (
    Action,
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

ADVERBS = {adverb.english: adverb for adverb in (*TIMES["past"], *TIMES["present"], *DEGREES)}
CAN, WANT = MODALS
AND, BUT = CONJUNCTIONS
ME, WE, YOU, HE, SHE = PRONOUNS


def adjective(english: str) -> Adjective:
    return next(a for a in ADJECTIVES if a.english == english)


def determiner(english: str) -> Determiner:
    return next(d for d in DETERMINERS if english in (d.english, d.english_plural))


def verb(english: str) -> Verb:
    return next(v for v in VERBS if f"{v.english} {v.particle}".strip() == english)


def np(text: str, *, of: NounPhrase | None = None, relative: Relative | None = None) -> NounPhrase:
    """Build a noun phrase from its English words, determiner first ("these old dogs")."""
    first, *described, last = text.split()
    noun = next(n for n in NOUNS if last in (n.english, n.english_plural))
    return NounPhrase(
        determiner(first), noun, last == noun.english_plural, tuple(adjective(a) for a in described), of, relative
    )


def at(preposition: str, place: str) -> PrepositionalPhrase:
    return PrepositionalPhrase(next(p for p in PREPOSITIONS if p.english == preposition), np(place))


def past(subject: Nominal, name: str, object: Nominal | None = None, **more: Any) -> Statement:
    return Statement(Action(subject, verb(name), object, **more))


def present(subject: Nominal, name: str, object: Nominal | None = None, **more: Any) -> Statement:
    return past(subject, name, object, tense="present", **more)


def being(subject: Nominal, quality: str, degree: str | None = None, **more: Any) -> Statement:
    return Statement(Description(subject, adjective(quality), ADVERBS[degree] if degree else None, **more))


def reason(
    subject: str,
    name: str,
    object: str,
    quality: str,
    antecedent: Literal["subject", "object"],
    degree: str = "too",
    **more: Any,
) -> Reason:
    action = Action(np(subject), verb(name), np(object), negative=True, **more)
    return Reason(action, adjective(quality), ADVERBS[degree], antecedent)


PAIRS: list[tuple[Sentence, str, str]] = [
    # what "it" means
    (
        reason("the animal", "cross", "the street", "tired", "subject"),
        "The animal didn't cross the street because it was too tired.",
        "L'animal n'a pas traversé la rue parce qu'il était trop fatigué.",
    ),
    (
        reason("the animal", "cross", "the street", "wide", "object"),
        "The animal didn't cross the street because it was too wide.",
        "L'animal n'a pas traversé la rue parce qu'elle était trop large.",
    ),
    (
        reason("these mice", "climb", "my walls", "frightened", "subject", "so", modal=CAN),
        "These mice couldn't climb my walls because they were so frightened.",
        "Ces souris n'ont pas pu escalader mes murs parce qu'elles étaient si effrayées.",
    ),
    (
        reason("her old bear", "eat", "that carrot", "bitter", "object", "very", modal=WANT),
        "Her old bear didn't want to eat that carrot because it was very bitter.",
        "Son vieil ours n'a pas voulu manger cette carotte parce qu'elle était très amère.",
    ),
    # determiners, elision, forms before a vowel
    (past(np("a girl"), "see", np("a bird")), "A girl saw a bird.", "Une fille a vu un oiseau."),
    (past(np("a ant"), "see", np("a old bee")), "An ant saw an old bee.", "Une fourmi a vu une vieille abeille."),
    (
        past(np("this man"), "buy", np("that old hotel")),
        "This man bought that old hotel.",
        "Cet homme a acheté ce vieil hôtel.",
    ),
    (past(np("this woman"), "sell", np("these eggs")), "This woman sold these eggs.", "Cette femme a vendu ces œufs."),
    (past(np("this small bear"), "run"), "This small bear ran.", "Ce petit ours a couru."),
    (past(np("my aunt"), "find", np("his key")), "My aunt found his key.", "Ma tante a trouvé sa clé."),
    (past(np("my actress"), "help", np("her goose")), "My actress helped her goose.", "Mon actrice a aidé son oie."),
    (
        past(np("my old actress"), "help", np("their geese")),
        "My old actress helped their geese.",
        "Ma vieille actrice a aidé leurs oies.",
    ),
    (
        past(np("every boy"), "take", np("two apples")),
        "Every boy took two apples.",
        "Chaque garçon a pris deux pommes.",
    ),
    (
        past(np("many animals"), "cross", np("our fields")),
        "Many animals crossed our fields.",
        "Beaucoup d'animaux ont traversé nos champs.",
    ),
    (
        past(np("several horses"), "follow", np("your sister")),
        "Several horses followed your sister.",
        "Plusieurs chevaux ont suivi votre sœur.",
    ),
    (
        past(np("some dogs"), "eat", np("some good tomatoes")),
        "Some dogs ate some good tomatoes.",
        "Des chiens ont mangé de bonnes tomates.",
    ),
    (
        past(np("some old wolves"), "eat", np("some green pears")),
        "Some old wolves ate some green pears.",
        "De vieux loups ont mangé des poires vertes.",
    ),
    # adjectives
    (
        past(np("the boy"), "lose", np("the small white mouse")),
        "The boy lost the small white mouse.",
        "Le garçon a perdu la petite souris blanche.",
    ),
    (
        being(np("the beautiful new hospital"), "expensive", tense="present"),
        "The beautiful new hospital is expensive.",
        "Le beau nouvel hôpital est cher.",
    ),
    (being(np("the beautiful birds"), "white"), "The beautiful birds were white.", "Les beaux oiseaux étaient blancs."),
    (
        being(np("the cherries"), "red", "very", tense="present", negative=True),
        "The cherries aren't very red.",
        "Les cerises ne sont pas très rouges.",
    ),
    (
        being(np("the high wall"), "steep", "too", negative=True),
        "The high wall wasn't too steep.",
        "Le mur haut n'était pas trop raide.",
    ),
    (
        being(Coordination(np("the cow"), np("the donkey")), "lazy", tense="present"),
        "The cow and the donkey are lazy.",
        "La vache et l'âne sont paresseux.",
    ),
    (
        being(Coordination(np("the cow"), np("the hen")), "lazy", tense="present"),
        "The cow and the hen are lazy.",
        "La vache et la poule sont paresseuses.",
    ),
    (being(SHE, "happy"), "She was happy.", "Elle était heureuse."),
    # verbs, negation, object pronouns
    (present(ME, "look for", np("the bag")), "I look for the bag.", "Je cherche le sac."),
    (present(ME, "hear", HE, negative=True), "I don't hear him.", "Je ne l'entends pas."),
    (
        present(WE, "eat", np("some cherries"), negative=True),
        "We don't eat any cherries.",
        "Nous ne mangeons pas de cerises.",
    ),
    (
        present(np("the fox"), "carry", np("a box"), negative=True),
        "The fox doesn't carry a box.",
        "Le renard ne porte pas de boîte.",
    ),
    (
        present(YOU, "take", np("the photo"), modal=CAN, negative=True),
        "You can't take the photo.",
        "Vous ne pouvez pas prendre la photo.",
    ),
    (present(np("the queen"), "meet", SHE, modal=WANT), "The queen wants to meet her.", "La reine veut la rencontrer."),
    (past(HE, "call", SHE), "He called her.", "Il l'a appelée."),
    (past(SHE, "help", HE, negative=True), "She didn't help him.", "Elle ne l'a pas aidé."),
    (past(ME, "wait for", SHE, modal=CAN, negative=True), "I couldn't wait for her.", "Je n'ai pas pu l'attendre."),
    # être, and prepositions that contract
    (
        past(np("the princesses"), "go to", np("the market")),
        "The princesses went to the market.",
        "Les princesses sont allées au marché.",
    ),
    (
        past(np("the princess"), "go to", np("the old church"), negative=True),
        "The princess didn't go to the old church.",
        "La princesse n'est pas allée à la vieille église.",
    ),
    (
        past(np("the hen"), "come from", np("the castles")),
        "The hen came from the castles.",
        "La poule est venue des châteaux.",
    ),
    (
        past(np("the goat"), "leave", adjuncts=(ADVERBS["last week"],)),
        "The goat left last week.",
        "La chèvre est partie la semaine dernière.",
    ),
    (
        past(np("the goat"), "enter", np("the hotel"), modal=WANT),
        "The goat wanted to enter the hotel.",
        "La chèvre a voulu entrer dans l'hôtel.",
    ),
    (present(ME, "speak to", np("the brothers")), "I speak to the brothers.", "Je parle aux frères."),
    (
        present(np("the man"), "dream of", np("some animals")),
        "The man dreams of some animals.",
        "L'homme rêve d'animaux.",
    ),
    (present(np("the men"), "dream of", np("a apple")), "The men dream of an apple.", "Les hommes rêvent d'une pomme."),
    (
        past(np("the man"), "sleep", adjuncts=(at("near", "the river"),)),
        "The man slept near the river.",
        "L'homme a dormi près de la rivière.",
    ),
    (
        past(np("the man"), "sleep", adjuncts=(at("near", "the bridge"),)),
        "The man slept near the bridge.",
        "L'homme a dormi près du pont.",
    ),
    (
        past(np("the bee"), "run", adjuncts=(at("far from", "the hills"),)),
        "The bee ran far from the hills.",
        "L'abeille a couru loin des collines.",
    ),
    (
        past(WE, "dance", adjuncts=(at("in front of", "the museum"),)),
        "We danced in front of the museum.",
        "Nous avons dansé devant le musée.",
    ),
    # possessors and relative clauses
    (
        past(np("the small dog", of=np("the king")), "run"),
        "The king's small dog ran.",
        "Le petit chien du roi a couru.",
    ),
    (
        past(np("the letters", of=np("the actresses")), "fall"),
        "The actresses' letters fell.",
        "Les lettres des actrices sont tombées.",
    ),
    (past(np("the lamp", of=np("my uncle")), "fall"), "My uncle's lamp fell.", "La lampe de mon oncle est tombée."),
    (
        past(SHE, "sell", np("the horse", of=np("the men"))),
        "She sold the men's horse.",
        "Elle a vendu le cheval des hommes.",
    ),
    (
        past(np("the flower", relative=Relative(verb("see"), subject=np("the girl"))), "fall"),
        "The flower that the girl saw fell.",
        "La fleur que la fille a vue est tombée.",
    ),
    (
        past(ME, "buy", np("the books", relative=Relative(verb("hide"), subject=SHE, negative=True))),
        "I bought the books that she didn't hide.",
        "J'ai acheté les livres qu'elle n'a pas cachés.",
    ),
    (
        past(np("the mice", relative=Relative(verb("take"), object=np("the apple"))), "fall"),
        "The mice that took the apple fell.",
        "Les souris qui ont pris la pomme sont tombées.",
    ),
    (
        present(np("the man", relative=Relative(verb("visit"), object=np("the station"), tense="present")), "sing"),
        "The man who visits the station sings.",
        "L'homme qui visite la gare chante.",
    ),
    # whole sentences
    (
        Statement(Action(np("the actor"), verb("work")), ADVERBS["yesterday"]),
        "Yesterday, the actor worked.",
        "Hier, l'acteur a travaillé.",
    ),
    (
        Joined(present(ME, "run").clause, BUT, present(np("the turtle"), "swim", negative=True).clause),
        "I run, but the turtle doesn't swim.",
        "Je cours, mais la tortue ne nage pas.",
    ),
    (
        Joined(past(HE, "sing").clause, AND, past(SHE, "laugh").clause),
        "He sang and she laughed.",
        "Il a chanté et elle a ri.",
    ),
    (Question(past(np("the boys"), "arrive").clause), "Did the boys arrive?", "Est-ce que les garçons sont arrivés ?"),
    (
        Question(present(SHE, "paint", np("the lamp")).clause),
        "Does she paint the lamp?",
        "Est-ce qu'elle peint la lampe ?",
    ),
    (Question(present(HE, "swim", modal=CAN).clause), "Can he swim?", "Est-ce qu'il peut nager ?"),
    (
        Question(being(np("the bench"), "heavy", "so", tense="present").clause),
        "Is the bench so heavy?",
        "Est-ce que le banc est si lourd ?",
    ),
]


@pytest.mark.parametrize(("sentence", "english", "french"), PAIRS, ids=[pair[1] for pair in PAIRS])
def test_sentence_in_both_languages(sentence: Sentence, english: str, french: str) -> None:
    example = realize(sentence, "transitive")
    assert (example.english, example.french) == (english, french)


@pytest.mark.parametrize(
    ("sentence", "pairs"),
    [
        (  # The animal didn't cross the street ... / L'animal n'a pas traversé la rue parce qu'il était trop fatigué.
            reason("the animal", "cross", "the street", "tired", "subject"),
            "0-0 1-0 2-1 2-2 3-3 4-4 5-5 6-6 6-7 7-7 8-8 9-9 10-10",
        ),
        (  # The king's small dog ran. / Le petit chien du roi a couru.
            past(np("the small dog", of=np("the king")), "run"),
            "0-3 1-0 1-3 1-4 2-1 3-2 4-5 4-6",
        ),
        (  # The princess went to the old church. / La princesse est allée à la vieille église.
            past(np("the princess"), "go to", np("the old church")),
            "0-0 1-1 2-2 2-3 3-4 4-5 5-6 6-7",
        ),
        (  # The boy lost the small white mouse. / Le garçon a perdu la petite souris blanche.
            past(np("the boy"), "lose", np("the small white mouse")),
            "0-0 1-1 2-2 2-3 3-4 4-5 5-7 6-6",
        ),
        (  # She didn't help him. / Elle ne l'a pas aidé.
            past(SHE, "help", HE, negative=True),
            "0-0 1-1 1-2 1-3 2-4 3-2",
        ),
        (  # Does she paint the lamp? / Est-ce qu'elle peint la lampe ?
            Question(present(SHE, "paint", np("the lamp")).clause),
            "0-0 0-1 1-1 2-2 3-3 4-4 4-5",
        ),
        (  # I couldn't wait for her. / Je n'ai pas pu l'attendre.
            past(ME, "wait for", SHE, modal=CAN, negative=True),
            "0-0 1-1 1-2 1-3 2-4 3-4 4-4",
        ),
    ],
)
def test_alignment_by_hand(sentence: Sentence, pairs: str) -> None:
    assert " ".join(f"{i}-{j}" for i, j in realize(sentence, "transitive").alignment) == pairs


def test_anaphora_by_hand() -> None:
    anaphora = realize(reason("these mice", "climb", "my walls", "frightened", "subject"), "anaphora").anaphora
    # These mice didn't climb my walls because they were too frightened.
    # Ces souris n'ont pas escaladé mes murs parce qu'elles étaient trop effrayées.
    assert anaphora is not None
    assert (anaphora.antecedent, anaphora.distractor, anaphora.pronoun, anaphora.adjective) == (1, 5, 7, 10)
    assert (anaphora.french_pronoun, anaphora.french_adjective) == (8, 11)
    assert (anaphora.refers_to, anaphora.gender, anaphora.distractor_gender) == ("subject", "f", "m")
    assert anaphora.is_contrastive
    assert anaphora.wrong_french == "Ces souris n'ont pas escaladé mes murs parce qu'ils étaient trop effrayés."


def test_english_that_tells_no_gender_is_refused() -> None:
    with pytest.raises(AssertionError, match="gender"):
        realize(past(ME, "arrive"), "intransitive")
    with pytest.raises(AssertionError, match="gender"):
        realize(being(YOU, "happy"), "description")

"""The stream of examples: endless, repeatable, never twice the same, one French sentence for each English one."""

import re
from collections import Counter
from itertools import islice
from random import Random

import pytest

from attento.errors import InputError
from attento.synthetic import Example, draw, pronoun_agreement, sampling, sentences, split
from attento.synthetic.lexicon import ADJECTIVES, DETERMINERS, NOUNS, VERBS
from attento.synthetic.sampling import SHARES


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return list(islice(sentences(7), 2000))


def test_order_is_a_function_of_the_seed(examples: list[Example]) -> None:
    assert list(islice(sentences(7), 50)) == examples[:50]
    assert list(islice(sentences(8), 50)) != examples[:50]


def test_nothing_is_said_twice(examples: list[Example]) -> None:
    assert len({example.english for example in examples}) == len(examples)


def test_excluded_sentences_never_come(examples: list[Example]) -> None:
    excluded = {example.english for example in examples[:100]}
    again = list(islice(sentences(7, excluded), 100))
    assert again == examples[100:200]


def test_split_shares_no_sentence() -> None:
    train, test = split(3, train=500, test=100)
    assert (len(train), len(test)) == (500, 100)
    assert not {example.english for example in train} & {example.english for example in test}
    assert split(3, train=5, test=100)[1] == test


def test_split_refuses_negative_sizes() -> None:
    with pytest.raises(InputError, match=r"train=-1"):
        split(3, train=-1, test=3)


def test_english_decides_french(monkeypatch: pytest.MonkeyPatch) -> None:
    # Few words, so that the same English sentence is met again and again, by every road that leads to it.
    for table in ("_NOUNS", "_BEFORE", "_AFTER", "_THING_REASONS"):
        monkeypatch.setattr(sampling, table, {key: words[:1] for key, words in getattr(sampling, table).items()})
    for table in ("_PLURAL", "_SINGULAR", "_DEFINITE", "_ANIMAL_REASONS", "TRANSITIVE_VERBS", "INDIRECT_VERBS",
                  "MOTION_VERBS", "INTRANSITIVE_VERBS", "PREPOSITIONS", "DEGREES", "MODALS"):  # fmt: skip
        monkeypatch.setattr(sampling, table, getattr(sampling, table)[:2])
    random, repeats = Random(11), 0
    translations: dict[str, str] = {}
    for _ in range(2500):
        example = draw(random)
        repeats += example.english in translations
        assert translations.setdefault(example.english, example.french) == example.french
    assert repeats > 100


def test_form_of_every_sentence(examples: list[Example]) -> None:
    for example in examples:
        assert re.fullmatch(r"[A-Z][A-Za-z ,']*[.?]", example.english), example
        assert re.fullmatch(r"[A-ZÀÂÉÈÊ][a-zàâçéèêîôœû ,'-]*( \?|\.)", example.french), example
        assert "  " not in example.english + example.french
        assert len(example.english.split()) <= 16


def test_nothing_is_left_unjoined(examples: list[Example]) -> None:
    unjoined = re.compile(r"\b(de les?|à les?|(le|la|de|ne|que|je) [aeiouéèêâôœ]\w*|un[e]? \w+s)\b", re.IGNORECASE)
    plain_s = {"ours", "souris", "tapis"}  # singulars in -s
    found = [match.group() for e in examples for match in unjoined.finditer(e.french)]
    assert [text for text in found if text.split()[-1] not in plain_s] == []


def test_mixture(examples: list[Example]) -> None:
    counts = Counter(example.kind for example in examples)
    assert set(counts) == set(SHARES)
    assert 0.30 < counts["anaphora"] / len(examples) < 0.40
    assert min(counts.values()) > 80


def test_every_word_is_met(examples: list[Example]) -> None:
    said = {
        word.strip(".,?").removesuffix("'s").removesuffix("'").lower() for e in examples for word in e.english.split()
    }
    forms = {noun.english_plural if noun.english_plural in said else noun.english for noun in NOUNS}
    forms |= {adjective.english for adjective in ADJECTIVES} | {verb.english_past for verb in VERBS}
    forms |= {form for d in DETERMINERS for form in (d.english, d.english_plural) if form}
    assert forms - said == set()


def test_alignment_leaves_no_word_out(examples: list[Example]) -> None:
    for example in examples:
        english, french = len(example.english.split()), len(example.french.split())
        assert {i for i, _ in example.alignment} == set(range(english)), example
        assert {j for _, j in example.alignment} == set(range(french)), example


def test_pronouns_are_balanced(examples: list[Example]) -> None:
    anaphoras = [example.anaphora for example in examples if example.anaphora]
    counts = Counter((a.refers_to, a.gender) for a in anaphoras)
    assert len(counts) == 4
    assert all(0.19 < count / len(anaphoras) < 0.31 for count in counts.values())
    assert 0.68 < sum(a.is_contrastive for a in anaphoras) / len(anaphoras) < 0.82


def test_anaphora_points_at_its_words(examples: list[Example]) -> None:
    genders = {form: noun.gender for noun in NOUNS for form in (noun.english, noun.english_plural)}
    kinds = {form: noun.kind for noun in NOUNS for form in (noun.english, noun.english_plural)}
    for example in examples:
        anaphora = example.anaphora
        assert (anaphora is not None) == (example.kind == "anaphora")
        if anaphora is None:
            continue
        english, french = example.english.lower().rstrip(".").split(), example.french.rstrip(".").split()
        assert english[anaphora.pronoun] in ("it", "they")
        assert genders[english[anaphora.antecedent]] == anaphora.gender
        assert genders[english[anaphora.distractor]] == anaphora.distractor_gender
        assert (kinds[english[anaphora.antecedent]] == "animal") == (anaphora.refers_to == "subject")
        assert french[anaphora.french_pronoun].startswith("qu'elle" if anaphora.gender == "f" else "qu'il")
        adjective = next(a for a in ADJECTIVES if a.english == english[anaphora.adjective])
        assert french[anaphora.french_adjective] == adjective.form(anaphora.gender, english[anaphora.pronoun] == "they")


def test_wrong_french_differs_in_pronoun_and_adjective_only(examples: list[Example]) -> None:
    for example in examples:
        if example.anaphora:
            right, wrong = example.french.split(), example.anaphora.wrong_french.split()
            differing = {i for i, pair in enumerate(zip(right, wrong, strict=True)) if len(set(pair)) == 2}
            assert example.anaphora.french_pronoun in differing
            assert differing <= {example.anaphora.french_pronoun, example.anaphora.french_adjective}


def test_the_adjective_never_fits_both_nouns(examples: list[Example]) -> None:
    kinds = {form: noun.kind for noun in NOUNS for form in (noun.english, noun.english_plural)}
    for example in examples:
        if example.anaphora:
            words = example.english.rstrip(".").split()
            adjective = next(a for a in ADJECTIVES if a.english == words[example.anaphora.adjective])
            assert kinds[words[example.anaphora.antecedent]] in adjective.kinds
            assert kinds[words[example.anaphora.distractor]] not in adjective.kinds


def test_pronoun_agreement_counts_pronoun_and_adjective(examples: list[Example]) -> None:
    chosen = examples[:300]
    assert pronoun_agreement(chosen, [example.french for example in chosen]) == 1.0
    assert pronoun_agreement(chosen, [example.french.upper() for example in chosen]) == 1.0
    wrong = [example.anaphora.wrong_french if example.anaphora else example.french for example in chosen]
    assert pronoun_agreement(chosen, wrong) == 0.0
    assert pronoun_agreement(chosen, [""] * 300) == 0.0
    pronouns = [example for example in chosen if example.anaphora]
    half = [example.french if i % 2 else "Bonjour." for i, example in enumerate(pronouns)]
    assert pronoun_agreement(pronouns, half) == (len(pronouns) // 2) / len(pronouns)


def test_pronoun_agreement_wants_the_agreeing_adjective(examples: list[Example]) -> None:
    example = next(e for e in examples if e.anaphora and e.french.endswith(" fatigué."))
    assert pronoun_agreement([example], [example.french.replace("fatigué.", "fatiguée.")]) == 0.0
    assert pronoun_agreement([example], [example.french.replace("qu'il ", "qu'elle ")]) == 0.0


def test_pronoun_agreement_refuses_what_it_cannot_score(examples: list[Example]) -> None:
    with pytest.raises(InputError, match="5 and 3"):
        pronoun_agreement(examples[:5], ["Un.", "Deux.", "Trois."])
    with pytest.raises(InputError, match="at least one example with a pronoun"):
        pronoun_agreement(
            [e for e in examples[:20] if not e.anaphora], ["Un."] * sum(not e.anaphora for e in examples[:20])
        )


def test_language_is_larger_than_any_corpus_drawn_from_it() -> None:
    """Count only "The old dog didn't cross the long street because it was too tired", singular, in all its words."""
    definite = sum(bool(d.english and d.english_plural) and d.english != "a" for d in DETERMINERS)
    nouns = Counter(noun.kind for noun in NOUNS)
    before = {kind: sum(a.precedes and kind in a.kinds for a in ADJECTIVES) for kind in nouns}
    moods = sum(a.kinds == ("human", "animal") for a in ADJECTIVES)
    total = 0
    for verb in VERBS:
        if (
            len(verb.objects) == 1
            and "animal" in verb.subjects
            and verb.objects[0] in ("path", "food", "load", "height")
        ):
            (kind,) = verb.objects
            subjects = nouns["animal"] * definite * (1 + before["animal"])
            objects = nouns[kind] * definite * (1 + before[kind])
            moods_and_properties = moods + sum(a.kinds == (kind,) and not a.precedes for a in ADJECTIVES)
            total += subjects * objects * moods_and_properties * 3 * 3  # modals, degrees
    assert total > 10**8

"""The tables: every form is there, and no English form belongs to two words."""

from collections import Counter

from attento.synthetic.lexicon import ADJECTIVES, DETERMINERS, NOUNS, PRONOUNS, VERBS


def test_every_english_form_of_a_class_belongs_to_one_word() -> None:
    nouns = [form for noun in NOUNS for form in (noun.english, noun.english_plural)]
    adjectives = [adjective.english for adjective in ADJECTIVES]
    determiners = [form for d in DETERMINERS for form in {d.english, d.english_plural} if form]
    pronouns = [form for p in PRONOUNS for form in {p.english, p.english_object}]
    # The present must differ from the past, or the English tense would not decide the French one.
    verbs = [
        f"{form} {verb.particle}" for verb in VERBS for form in (verb.english, verb.english_third, verb.english_past)
    ]
    for forms in (nouns + adjectives, determiners, pronouns, verbs):
        assert [form for form, count in Counter(forms).items() if count > 1] == []


def test_no_form_is_empty_or_left_over_from_the_tables() -> None:
    forms = [form for n in NOUNS for form in (n.english, n.english_plural, n.french, n.french_plural)]
    forms += [form for a in ADJECTIVES for form in (a.english, *a.french, a.before_vowel)]
    forms += [form for v in VERBS for form in (v.english, v.english_past, v.infinitive, *v.present, v.participle)]
    assert [form for form in forms if not form.isalpha()] == []
    assert all(len(verb.present) == 5 and verb.subjects for verb in VERBS)
    assert all(adjective.kinds for adjective in ADJECTIVES)


def test_genders_are_balanced_in_every_kind() -> None:
    counts = Counter((noun.kind, noun.gender) for noun in NOUNS)
    for kind in {noun.kind for noun in NOUNS}:
        assert counts[kind, "m"] == counts[kind, "f"] >= 5


def test_irregular_and_regular_forms() -> None:
    nouns = {noun.english: noun for noun in NOUNS}
    plurals = {name: (nouns[name].english_plural, nouns[name].french_plural) for name in
               ("boy", "library", "fox", "branch", "mouse", "knife", "animal", "boat", "bear", "tomato")}  # fmt: skip
    assert plurals == {
        "boy": ("boys", "garçons"),
        "library": ("libraries", "bibliothèques"),
        "fox": ("foxes", "renards"),
        "branch": ("branches", "branches"),
        "mouse": ("mice", "souris"),
        "knife": ("knives", "couteaux"),
        "animal": ("animals", "animaux"),
        "boat": ("boats", "bateaux"),
        "bear": ("bears", "ours"),
        "tomato": ("tomatoes", "tomates"),
    }
    adjectives = {adjective.english: adjective for adjective in ADJECTIVES}
    assert adjectives["beautiful"].french == ("beau", "belle", "beaux", "belles")
    assert adjectives["old"].french == ("vieux", "vieille", "vieux", "vieilles")
    assert adjectives["lazy"].french == ("paresseux", "paresseuse", "paresseux", "paresseuses")
    assert adjectives["white"].french == ("blanc", "blanche", "blancs", "blanches")
    verbs = {verb.english: verb for verb in VERBS}
    assert verbs["eat"].present == ("mange", "mangeons", "mangez", "mange", "mangent")
    assert verbs["call"].present == ("appelle", "appelons", "appelez", "appelle", "appellent")
    assert {verbs[name].english_third for name in ("carry", "cross", "go", "watch", "see")} == {
        "carries", "crosses", "goes", "watches", "sees"
    }  # fmt: skip

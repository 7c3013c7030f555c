"""The words of the bundled English-French language, with every form that its grammar asks for.

Each English form belongs to one word only, and each English word has one French word: the English sentence alone
decides the French one. Knows nothing of how words are put together.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Gender: TypeAlias = Literal["m", "f"]
Kind: TypeAlias = Literal["human", "animal", "path", "food", "load", "height", "place", "thing"]
Tense: TypeAlias = Literal["present", "past"]

# Grammatical persons that the verbs tell apart; each is an index into the five forms of a French tense.
FIRST, FIRST_PLURAL, SECOND, THIRD, THIRD_PLURAL = range(5)


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun of one meaning, with its plurals and its French gender."""

    english: str
    english_plural: str
    french: str
    french_plural: str
    gender: Gender
    kind: Kind


@dataclass(frozen=True, slots=True)
class Adjective:
    """An adjective and the kinds of noun that it can describe.

    `french` holds masculine, feminine, masculine plural and feminine plural; `before_vowel` is the masculine singular
    in front of a vowel sound ("un bel arbre"); `precedes` tells whether the French noun comes after it.
    """

    english: str
    french: tuple[str, str, str, str]
    before_vowel: str
    precedes: bool
    kinds: tuple[Kind, ...]

    def form(self, gender: Gender, plural: bool) -> str:
        """Return the French form that agrees with a noun of this gender and number."""
        return self.french[2 * plural + (gender == "f")]


@dataclass(frozen=True, slots=True)
class Determiner:
    """A determiner; a number in which it cannot stand has an empty English form.

    `french` holds masculine, masculine before a vowel, feminine, feminine before a vowel, plural.
    """

    english: str
    english_plural: str
    french: tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Pronoun:
    """A personal pronoun. Where English does not tell the gender, there is none to agree with."""

    english: str
    english_object: str
    french: str
    french_object: str
    person: int
    gender: Gender | None


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb, what its subject and object can be, and the particle and preposition that the object asks for."""

    english: str
    english_third: str
    english_past: str
    particle: str
    infinitive: str
    present: tuple[str, ...]
    participle: str
    preposition: str
    takes_etre: bool
    subjects: tuple[Kind, ...]
    objects: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class Modal:
    """A verb that governs an infinitive, with its English forms in the present and the past."""

    english: str
    english_third: str
    english_past: str
    is_auxiliary: bool
    present: tuple[str, ...]
    participle: str


@dataclass(frozen=True, slots=True)
class Preposition:
    """A preposition of place and the kinds of noun that can follow it."""

    english: str
    french: str
    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class Adverb:
    """A word or fixed phrase that does not change."""

    english: str
    french: str


@dataclass(frozen=True, slots=True)
class Conjunction:
    """A word that joins two clauses, with or without a comma before it."""

    english: str
    french: str
    comma: bool


def _kinds(text: str) -> tuple[Kind, ...]:
    known: tuple[Kind, ...] = get_args(Kind)
    return tuple(kind for kind in known if text == "all" or kind in text.split())


def _rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split(";")] for line in table.strip().splitlines()]


def _with_plural(cell: str, *, french: bool) -> tuple[str, str]:
    singular, _, irregular = cell.partition("|")
    if irregular:
        return singular, irregular
    if french:
        return singular, singular + ("" if singular[-1] in "sxz" else "x" if singular.endswith("eau") else "s")
    return singular, _add_s(singular)


def _add_s(word: str) -> str:
    if word.endswith(("s", "x", "ch", "sh")):
        return word + "es"
    return word[:-1] + "ies" if word.endswith("y") and word[-2] not in "aeiou" else word + "s"


def _nouns(table: str) -> tuple[Noun, ...]:
    nouns: list[Noun] = []
    genders: tuple[Gender, ...] = get_args(Gender)
    for kind, *cells in _rows(table):
        for gender, cell in zip(genders, cells, strict=True):
            for entry in cell.split(", "):
                english, french = entry.split(" ")
                forms = (*_with_plural(english, french=False), *_with_plural(french, french=True))
                nouns.extend(Noun(*forms, gender, only) for only in _kinds(kind))
    return tuple(nouns)


def _adjectives(table: str) -> tuple[Adjective, ...]:
    adjectives = []
    for english, masculine, feminine, order, kinds in _rows(table):
        masculine, _, before_vowel = masculine.partition("|")
        forms = (masculine, feminine, _with_plural(masculine, french=True)[1], feminine + "s")
        adjectives.append(Adjective(english, forms, before_vowel or masculine, order == "before", _kinds(kinds)))
    return tuple(adjectives)


def _present(infinitive: str, forms: str) -> tuple[str, ...]:
    if forms != "-er":
        return tuple(forms.split())
    stem = infinitive.removesuffix("er")
    soft = "e" if stem.endswith("g") else ""  # nous mangeons
    return (f"{stem}e", f"{stem}{soft}ons", f"{stem}ez", f"{stem}e", f"{stem}ent")


def _verbs(table: str, *, takes_etre: bool = False) -> tuple[Verb, ...]:
    verbs = []
    for english, french, present, participle, subjects, objects in _rows(table):
        forms, _, particle = english.partition(" ")
        base, past = forms.split("|")
        infinitive, _, preposition = french.partition(" ")
        english_forms = (base, "goes" if base == "go" else _add_s(base), past, particle)
        french_forms = (infinitive, _present(infinitive, present), participle, preposition)
        verbs.append(Verb(*english_forms, *french_forms, takes_etre, _kinds(subjects), _kinds(objects)))
    return tuple(verbs)


# kind; masculine in French; feminine in French. Plurals that follow no rule stand after a bar.
NOUNS = _nouns(
    """
    human;  boy garçon, man|men homme, king roi, father père, brother frère, uncle oncle, prince prince, waiter serveur, actor acteur; girl fille, woman|women femme, queen reine, mother mère, sister sœur, aunt tante, princess princesse, waitress serveuse, actress actrice
    animal; animal animal|animaux, dog chien, cat chat, horse cheval|chevaux, bird oiseau, rabbit lapin, wolf|wolves loup, bear ours, donkey âne, fox renard; cow vache, mouse|mice souris, goat chèvre, hen poule, turtle tortue, frog grenouille, goose|geese oie, ant fourmi, bee abeille, giraffe girafe
    path;   bridge pont, path chemin, field champ, garden jardin, park parc, desert désert; street rue, road route, river rivière, forest forêt, square place, avenue avenue
    food;   cake gâteau, cheese fromage, egg œuf, melon melon, mushroom champignon, onion oignon; apple pomme, pear poire, carrot carotte, tomato|tomatoes tomate, cherry cerise, strawberry fraise
    load;   bag sac, basket panier, bucket seau, carpet tapis, bench banc; box boîte, stone pierre, branch branche, suitcase valise, chair chaise
    height; wall mur, rock rocher, volcano|volcanoes volcan, roof toit, glacier glacier; hill colline, mountain montagne, cliff falaise, dune dune, slope pente
    place;  castle château, hotel hôtel, hospital hôpital|hôpitaux, museum musée, market marché, restaurant restaurant; house maison, church église, school école, shop boutique, station gare, library bibliothèque
    thing;  book livre, hat chapeau, knife|knives couteau, newspaper journal|journaux, mirror miroir, boat bateau; letter lettre, key clé, flower fleur, car voiture, photo photo, lamp lampe
    """  # noqa: E501
)

# English; masculine|before a vowel; feminine; before or after the French noun; kinds of noun it describes.
ADJECTIVES = _adjectives(
    """
    small;      petit;             petite;      before; all
    big;        grand;             grande;      before; all
    beautiful;  beau|bel;          belle;       before; human animal path height place thing
    old;        vieux|vieil;       vieille;     before; human animal path load height place thing
    new;        nouveau|nouvel;    nouvelle;    before; path load place thing
    good;       bon;               bonne;       before; human food place thing
    young;      jeune;             jeune;       before; human animal
    long;       long;              longue;      before; path
    white;      blanc;             blanche;     after;  animal load height place thing
    black;      noir;              noire;       after;  animal load height thing
    green;      vert;              verte;       after;  food load place thing
    red;        rouge;             rouge;       after;  food load place thing
    tired;      fatigué;           fatiguée;    after;  human animal
    hungry;     affamé;            affamée;     after;  human animal
    thirsty;    assoiffé;          assoiffée;   after;  human animal
    sick;       malade;            malade;      after;  human animal
    frightened; effrayé;           effrayée;    after;  human animal
    lazy;       paresseux;         paresseuse;  after;  human animal
    nervous;    nerveux;           nerveuse;    after;  human animal
    shy;        timide;            timide;      after;  human animal
    sad;        triste;            triste;      after;  human animal
    happy;      heureux;           heureuse;    after;  human
    strong;     fort;              forte;       after;  human
    wide;       large;             large;       after;  path
    narrow;     étroit;            étroite;     after;  path
    dark;       sombre;            sombre;      after;  path
    muddy;      boueux;            boueuse;     after;  path
    crowded;    bondé;             bondée;      after;  path
    bitter;     amer;              amère;       after;  food
    rotten;     pourri;            pourrie;     after;  food
    salty;      salé;              salée;       after;  food
    hard;       dur;               dure;        after;  food
    sour;       acide;             acide;       after;  food
    heavy;      lourd;             lourde;      after;  load
    fragile;    fragile;           fragile;     after;  load
    bulky;      encombrant;        encombrante; after;  load
    sticky;     collant;           collante;    after;  load
    high;       haut;              haute;       after;  height
    steep;      raide;             raide;       after;  height
    slippery;   glissant;          glissante;   after;  height
    unstable;   instable;          instable;    after;  height
    expensive;  cher;              chère;       after;  food place thing
    dangerous;  dangereux;         dangereuse;  after;  animal path height
    strange;    étrange;           étrange;     after;  human animal place thing
    """
)

# English base|past and particle; French infinitive and preposition; present (je nous vous il ils); participle;
# subjects; objects.
TRANSITIVE_VERBS = _verbs(
    """
    see|saw;         voir;       vois voyons voyez voit voient;                 vu;        human animal; all
    eat|ate;         manger;     -er;                                           mangé;     human animal; food
    cross|crossed;   traverser;  -er;                                           traversé;  human animal; path
    climb|climbed;   escalader;  -er;                                           escaladé;  human animal; height
    carry|carried;   porter;     -er;                                           porté;     human animal; load
    push|pushed;     pousser;    -er;                                           poussé;    human animal; load
    pull|pulled;     tirer;      -er;                                           tiré;      human animal; load
    follow|followed; suivre;     suis suivons suivez suit suivent;              suivi;     human animal; human animal
    hear|heard;      entendre;   entends entendons entendez entend entendent;   entendu;   human animal; human animal
    watch|watched;   regarder;   -er;                                           regardé;   human animal; human animal
    meet|met;        rencontrer; -er;                                           rencontré; human animal; human animal
    wait|waited for; attendre;   attends attendons attendez attend attendent;   attendu;   human animal; human animal
    help|helped;     aider;      -er;                                           aidé;      human;        human animal
    call|called;     appeler;    appelle appelons appelez appelle appellent;    appelé;    human;        human animal
    find|found;      trouver;    -er;                                           trouvé;    human animal; animal food load thing
    look|looked for; chercher;   -er;                                           cherché;   human animal; human animal food load thing
    hide|hid;        cacher;     -er;                                           caché;     human animal; food load thing
    take|took;       prendre;    prends prenons prenez prend prennent;          pris;      human animal; food load thing
    lose|lost;       perdre;     perds perdons perdez perd perdent;             perdu;     human;        animal load thing
    buy|bought;      acheter;    achète achetons achetez achète achètent;       acheté;    human;        animal food load place thing
    sell|sold;       vendre;     vends vendons vendez vend vendent;             vendu;     human;        animal food load place thing
    visit|visited;   visiter;    -er;                                           visité;    human;        place
    paint|painted;   peindre;    peins peignons peignez peint peignent;         peint;     human;        animal height place thing
    """  # noqa: E501
)
INDIRECT_VERBS = _verbs(
    """
    speak|spoke to;    parler à;   -er;                                         parlé;   human; human animal
    answer|answered;   répondre à; réponds répondons répondez répond répondent; répondu; human; human
    talk|talked about; parler de;  -er;                                         parlé;   human; all
    dream|dreamed of;  rêver de;   -er;                                         rêvé;    human; all
    """
)
MOTION_VERBS = _verbs(
    """
    go|went to;         aller à;     vais allons allez va vont;         allé;     human animal; place
    return|returned to; retourner à; -er;                               retourné; human animal; place
    come|came from;     venir de;    viens venons venez vient viennent; venu;     human animal; place
    enter|entered;      entrer dans; -er;                               entré;    human animal; place
    """,
    takes_etre=True,
)
INTRANSITIVE_VERBS = _verbs(
    """
    arrive|arrived; arriver; -er;                              arrivé; human animal;
    leave|left;     partir;  pars partons partez part partent; parti;  human animal;
    fall|fell;      tomber;  -er;                              tombé;  human animal;
    go|went out;    sortir;  sors sortons sortez sort sortent; sorti;  human animal;
    """,
    takes_etre=True,
) + _verbs(
    """
    sleep|slept;   dormir;     dors dormons dormez dort dorment; dormi;     human animal;
    run|ran;       courir;     cours courons courez court courent; couru;     human animal;
    swim|swam;     nager;      -er;                                  nagé;      human animal;
    sing|sang;     chanter;    -er;                              chanté;    human;
    dance|danced;  danser;     -er;                              dansé;     human;
    work|worked;   travailler; -er;                              travaillé; human;
    laugh|laughed; rire;       ris rions riez rit rient;         ri;        human;
    """
)
VERBS = TRANSITIVE_VERBS + INDIRECT_VERBS + MOTION_VERBS + INTRANSITIVE_VERBS

DETERMINERS = (
    Determiner("the", "the", ("le", "le", "la", "la", "les")),
    Determiner("a", "some", ("un", "un", "une", "une", "des")),
    Determiner("this", "these", ("ce", "cet", "cette", "cette", "ces")),
    Determiner("that", "those", ("ce", "cet", "cette", "cette", "ces")),
    Determiner("my", "my", ("mon", "mon", "ma", "mon", "mes")),
    Determiner("your", "your", ("votre", "votre", "votre", "votre", "vos")),
    Determiner("his", "his", ("son", "son", "sa", "son", "ses")),
    Determiner("her", "her", ("son", "son", "sa", "son", "ses")),
    Determiner("our", "our", ("notre", "notre", "notre", "notre", "nos")),
    Determiner("their", "their", ("leur", "leur", "leur", "leur", "leurs")),
    Determiner("every", "", ("chaque", "chaque", "chaque", "chaque", "")),
    Determiner("", "two", ("", "", "", "", "deux")),
    Determiner("", "three", ("", "", "", "", "trois")),
    Determiner("", "four", ("", "", "", "", "quatre")),
    Determiner("", "several", ("", "", "", "", "plusieurs")),
    Determiner("", "many", ("", "", "", "", "beaucoup de")),
)

PRONOUNS = (
    Pronoun("I", "me", "je", "me", FIRST, None),
    Pronoun("we", "us", "nous", "nous", FIRST_PLURAL, None),
    Pronoun("you", "you", "vous", "vous", SECOND, None),
    Pronoun("he", "him", "il", "le", THIRD, "m"),
    Pronoun("she", "her", "elle", "la", THIRD, "f"),
)

MODALS = (
    Modal("can", "can", "could", True, ("peux", "pouvons", "pouvez", "peut", "peuvent"), "pu"),
    Modal("want", "wants", "wanted", False, ("veux", "voulons", "voulez", "veut", "veulent"), "voulu"),
)

PREPOSITIONS = (
    Preposition("in", "dans", _kinds("path place")),
    Preposition("near", "près de", _kinds("path height place")),
    Preposition("behind", "derrière", _kinds("height place")),
    Preposition("in front of", "devant", _kinds("place")),
    Preposition("far from", "loin de", _kinds("path height place")),
)

TIMES: dict[Tense, tuple[Adverb, ...]] = {
    "past": (
        Adverb("yesterday", "hier"),
        Adverb("this morning", "ce matin"),
        Adverb("last week", "la semaine dernière"),
    ),
    "present": (Adverb("today", "aujourd'hui"), Adverb("every day", "tous les jours"), Adverb("now", "maintenant")),
}

CONJUNCTIONS = (Conjunction("and", "et", False), Conjunction("but", "mais", True))
DEGREES = (Adverb("too", "trop"), Adverb("very", "très"), Adverb("so", "si"))

# French auxiliaries and the copula's past, by person.
AVOIR = ("ai", "avons", "avez", "a", "ont")
ETRE = ("suis", "sommes", "êtes", "est", "sont")
ETRE_PAST = ("étais", "étions", "étiez", "était", "étaient")

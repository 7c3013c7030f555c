"""Which Unicode script a letter is of, and which scripts a language is written in."""

import unicodedata
from collections.abc import Mapping
from functools import cache

# ISO 639 codes by script; a language that is not here has no expected script, and the rule is off for it.
_LANGUAGES: Mapping[str, str] = {
    "latin": (
        "af az bs ca ceb cs cy da de en eo es et eu fi fil fo fr fy ga gd gl ha haw hr ht hu id ig is it jv la lb lt "
        "lv mg mi ms mt nb nl nn no nso oc om pl pt qu rn ro rw sk sl sm sn so sq ss st su sv sw tk tl tn to tr ts ve "
        "vi wo xh yo zu cat ces dan deu eng epo fin fra hrv hun ind ita lat nld nno nob nor pol por ron slk slv spa "
        "swe tur vie"
    ),
    "cyrillic": "ba be bg ce cv kk kv ky mk ru rus tg tt udm uk ukr sah bel bul",
    "cyrillic latin": "sr srp sh uz",
    "cyrillic mongolian": "mn mon",
    "arabic": "ar ara arz azb ckb fa fas pnb prs ps ug ur urd",
    "arabic latin": "ku",
    "arabic devanagari": "sd ks",
    "devanagari": "bho hi hin kok mai mr ne new sa",
    "greek": "el ell grc",
    "hebrew": "he heb iw yi",
    "han": "zh zho cmn yue wuu lzh",
    "han hiragana katakana": "ja jpn",
    "hangul han": "ko kor",
    "thai": "th tha",
    "lao": "lo",
    "khmer": "km",
    "myanmar": "my",
    "tibetan": "bo dz",
    "georgian": "ka",
    "armenian": "hy",
    "ethiopic": "am ti",
    "bengali": "as bn ben",
    "gurmukhi arabic": "pa",
    "gujarati": "gu",
    "oriya": "or",
    "tamil": "ta tam",
    "telugu": "te tel",
    "kannada": "kn",
    "malayalam": "ml",
    "sinhala": "si",
}
_SCRIPTS = {code: frozenset(scripts.split()) for scripts, codes in _LANGUAGES.items() for code in codes.split()}

# Script subtags of BCP 47, as in sr-Latn or zh-Hans.
_SUBTAGS = {
    "latn": "latin", "cyrl": "cyrillic", "arab": "arabic", "deva": "devanagari", "grek": "greek", "hebr": "hebrew",
    "hans": "han", "hant": "han", "hani": "han", "thai": "thai", "geor": "georgian", "armn": "armenian",
    "beng": "bengali", "taml": "tamil", "telu": "telugu", "mong": "mongolian",
}  # fmt: skip

# Names of characters that do not begin with the name of their script.
_NAME_HEADS = {
    "cjk": "han", "ideographic": "han", "katakana-hiragana": "katakana", "feminine": "latin", "masculine": "latin",
    "kelvin": "latin", "angstrom": "latin", "micro": "greek", "ohm": "greek",
}  # fmt: skip
_WIDTHS = ("FULLWIDTH ", "HALFWIDTH ", "MODIFIER LETTER ")


@cache
def scripts_of_language(code: str) -> frozenset[str] | None:
    """Return the scripts of a language from its code ("de", "pt-BR", "sr-Latn"); None when they are not known."""
    language, *subtags = code.replace("_", "-").lower().split("-")
    for subtag in subtags:
        if subtag in _SUBTAGS:
            return frozenset({_SUBTAGS[subtag]})
    return _SCRIPTS.get(language)


@cache
def script_of(character: str) -> str | None:
    """Return the script of a letter in lower case ("latin", "han", "cyrillic"), or None for what is no letter.

    Read from the character's Unicode name, which begins with its script (The Unicode Standard, section 4.8).
    """
    if not character.isalpha():
        return None
    name = unicodedata.name(character, "")
    for width in _WIDTHS:
        name = name.removeprefix(width)
    head = name.partition(" ")[0].lower()
    return _NAME_HEADS.get(head, head)


def script_share(text: str, scripts: frozenset[str]) -> float:
    """Return the share of a text's letters that are of the given scripts; 1 where there is no letter."""
    if "latin" in scripts and text.isascii():
        return 1.0
    found = [script for script in map(script_of, text) if script is not None]
    return sum(script in scripts for script in found) / len(found) if found else 1.0

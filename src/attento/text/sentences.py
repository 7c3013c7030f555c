"""Sentences found by rule in text of many languages, so that long text reaches a model in pieces it was trained on.

Every character is kept: the pieces with their separators are the text. In doubt a sentence is not split, since two
sentences in one piece translate better than half of one. Knows no tokenizer: what fits is asked of the caller.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of text, and the white space between it and the next piece.

    The text neither begins nor ends in white space. It is empty only in a first segment, which then holds the white
    space that the whole text begins with.
    """

    text: str
    separator: str


# Marks that end a sentence with nothing after them, and marks that need white space to do so.
_FULL_WIDTH = "。！？｡"
_SPACED = ".!?…‽⁇⁈⁉．؟۔।॥።։។။"
# German closes with the quotation marks that English and Chinese open with. Before white space all of them close.
_CLOSING = "\"'”’»›)\\]}」』）】》〉］｝*_"
_CLOSING_SPACED = _CLOSING + "“‘«‹"
_SPACES = " \u00a0\u202f"
_ENDING = re.compile(
    rf"(?:(?:[{_FULL_WIDTH}{_SPACED}]*[{_FULL_WIDTH}][{_CLOSING}]*)+"
    rf"|[{_SPACED}]+(?:[{_CLOSING_SPACED}]|\[\d{{1,3}}\])*(?:[{_SPACES}][»”](?=\s|$))?)(?P<space>\s*)"
)
_MARKS = re.compile(rf"[{_FULL_WIDTH}{_SPACED}]+")
_OPENING = re.compile(rf"(?:[«‹»›][{_SPACES}]|[\"'“”„‚‘«‹»›(\[{{¿¡「『（*_])*")
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")
_CJK = re.compile(r"[\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")

# Read in the text just before a full stop.
_WORD_BEFORE = re.compile(r"(?<![\w/])(?:[^\W\d_]|[.'’-])+$")
_APOSTROPHE = re.compile(r"['’]")
_INITIALS = re.compile(r"(?:[^\W\d_]\.-?)*[^\W\d_]")
_LABEL = re.compile(r"[^\w\s]*(?:\d{1,3}(?:\.\d{1,3})*|[A-Za-z]|[IVXivx]{1,5})")
_GERMAN_ORDINAL = re.compile(
    r"\b(?:(?<!I )[Aa]m|[Dd](?:er|ie|as|em|en|es)|vom|[Zz]u[mr]|[Ii][mn]s?|beim|ab|bis|seit|jede[rns]?|[Ee]ine?[mnrs]?)"
    r"\s+\d{1,2}$"
)
_NUMBER = re.compile(r"\d|[IVXLC]{2,}\b")
_WORD = re.compile(r"[^\W\d_]+")

_NEVER_LAST = frozenset(
    # titles
    "Mr Mrs Ms Mx Dr Drs Prof St Ste Rev Hon Gen Col Lt Sgt Capt Cpt Maj Adm Gov Sen Rep Pres Messrs Msgr "
    "Hr Hrn Fr Dipl Ing Mag Mme Mmes Mlle Mlles Mgr MM Sr Sra Srta Dra Dña Sig Dott Avv dhr mevr "
    # words that bring in what follows
    "vs cf ca av viz resp approx esp "
    "bzw vgl ggf ggfs evtl inkl exkl sog zzgl bspw insb insbes geb einschl entspr "
    "env bijv np tzn см рис стр им ул".split()
)
_BEFORE_NUMBER = frozenset(
    "no nos nr nrn num núm pp pag pág págs vol vols fig figs tab abb abs art bd kap chap ch sec sect eq eqs ref refs "
    "al tel tél ext jan feb febr mar mär apr jun jul aug sep sept oct okt nov dec dez janv févr avr juil déc".split()
)
_AFTER_ORDINAL = frozenset(
    "Januar Jänner Februar März April Mai Juni Juli August September Oktober November Dezember "
    "Jan Feb Mär Apr Jun Jul Aug Sep Sept Okt Nov Dez Jahrhundert Jahrhunderts Jh Jahrtausend Weltkrieg Weltkriegs "
    "Auflage Kapitel Klasse Stock Platz Mal Geburtstag".split()
)
# No family name, so what they follow was the end: "in the U.S. They", "vitamin C. It".
_OPENERS = frozenset(
    "The This That These Those He She It They We You But And However When If There His Her Their Our My "
    "Il Elle Ils Elles On".split()
)


def split_sentences(text: str) -> list[Segment]:
    r"""Split text into sentences; a line break (`\n`, and no other character) always splits.

    `"".join(s.text + s.separator for s in split_sentences(text)) == text`, for every text.
    """
    segments: list[Segment] = []
    begin = 0
    for start, stop in _sentence_spans(text):
        if segments:
            segments[-1] = Segment(segments[-1].text, text[begin:start])
        elif start:
            segments.append(Segment("", text[:start]))
        segments.append(Segment(text[start:stop], ""))
        begin = stop
    if segments:
        segments[-1] = Segment(segments[-1].text, text[begin:])
    elif text:
        segments.append(Segment("", text))
    return segments


def _sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each sentence starts and stops, white space left out."""
    offset = 0
    for line in text.split("\n"):
        start = len(line) - len(line.lstrip())
        end = len(line.rstrip())
        for stop, next_start in _ends_inside(line, start, end):
            yield offset + start, offset + stop
            start = next_start
        if start < end:
            yield offset + start, offset + end
        offset += len(line) + 1


def _ends_inside(line: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield where a sentence stops and where the next one starts, for all sentences of a line but the last."""
    first_word = _LETTER_OR_DIGIT.search(line, start)
    last_word = next((position for position in range(end - 1, start, -1) if line[position].isalnum()), start)
    for ending in _ENDING.finditer(line, start, end):
        next_start = ending.end()
        # Marks without a word of their own ("?!", a smiley) stay with their neighbour.
        if first_word is None or first_word.start() > ending.start() or next_start > last_word:
            continue
        if _is_end(line, start, ending):
            yield ending.start("space"), next_start
            start = next_start
            first_word = _LETTER_OR_DIGIT.search(line, start)


def _is_end(line: str, start: int, ending: re.Match[str]) -> bool:
    """Tell whether a sentence that began at `start` is over at these marks."""
    marks_match = _MARKS.match(line, ending.start())
    assert marks_match is not None
    marks = marks_match.group()
    opening = _OPENING.match(line, ending.end())
    assert opening is not None
    following = line[opening.end() : opening.end() + 20]
    if marks[-1] in _FULL_WIDTH:
        # Japanese goes on after a quotation: 「はい。」と言った.
        is_quoted = marks_match.end() < ending.start("space")
        return not (is_quoted and following.startswith(("と", "って")))
    if not ending["space"]:
        between = line[ending.start() - 1 : ending.start()], line[ending.end() : ending.end() + 1]
        return marks[-1] in "!?" and all(_CJK.match(character) for character in between)
    if following[:1].islower() or following[:1] in tuple(",;:)]}»”"):
        return False
    if marks.endswith(("..", "…")) and following[:1].isdigit():
        return False
    return marks != "." or _full_stop_ends(line, start, ending.start(), following)


def _full_stop_ends(line: str, start: int, stop: int, following: str) -> bool:
    """Tell a full stop from the point of an abbreviation, an initial, an ordinal or a list label."""
    # Words are far shorter; a window keeps the work linear in the length of the line.
    before = line[max(start, stop - 40) : stop]
    if stop - start < 20 and _LABEL.fullmatch(before):
        return False
    next_word = _WORD.match(following)
    if before[-1:].isdigit():
        return not (_GERMAN_ORDINAL.search(before) or (next_word and next_word.group() in _AFTER_ORDINAL))
    found = _WORD_BEFORE.search(before)
    word = found.group().strip("'’-.") if found else ""
    # French l'art. is art.; the t of don't is no initial.
    elided = _APOSTROPHE.split(word)[-1]
    word = elided if len(elided) > 1 else word
    if word.lower() in ("a.m", "p.m"):
        return True
    if _INITIALS.fullmatch(word) and word.lower() != word.upper():
        may_end = len(word) == 1 or word[-1].isupper()
        return bool(may_end and next_word and next_word.group() in _OPENERS)
    if word in _NEVER_LAST or word[:1].lower() + word[1:] in _NEVER_LAST:
        return False
    if word == "ex" and re.search(r"\bp(?:\.|ar)\s*ex$", before):
        return False
    return not (word.lower() in _BEFORE_NUMBER and _NUMBER.match(following))


_CLAUSE_ENDS = (
    re.compile(rf"(?<=[;:{_SPACED}])\s+|(?<=[；：{_FULL_WIDTH}])\s*|\s(?=[–—]\s)"),
    re.compile(r"(?<=[,،)])\s+|(?<=[，、])\s*"),
)
_BETWEEN_WORDS = re.compile(r"(?<=\S)\s+(?=\S)")


def split_long(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Cut text into parts that fit, so that nothing needs to be truncated; the parts joined are the text.

    A part is cut near its middle: after a clause, else after a comma, else between words, else anywhere. Only a single
    character that does not fit comes back as it is.
    """
    if len(text) < 2 or fits(text):
        return [text]
    cut = _best_cut(text)
    return split_long(text[:cut], fits) + split_long(text[cut:], fits)


def _best_cut(text: str) -> int:
    middle = len(text) // 2
    for clause_end in _CLAUSE_ENDS:
        cuts = [found.end() for found in clause_end.finditer(text)]
        # Far from the middle, even a good cut leaves a scrap.
        central = [cut for cut in cuts if len(text) <= 4 * cut <= 3 * len(text)]
        if central:
            return min(central, key=lambda cut: abs(cut - middle))
    between_words = [found.end() for found in _BETWEEN_WORDS.finditer(text)]
    if between_words:
        return min(between_words, key=lambda cut: abs(cut - middle))
    # A letter is not parted from its accents, nor an emoji from its parts.
    whole = (cut for cut in range(middle, len(text)) if not _joins(text[cut]) and text[cut - 1] != "\u200d")
    return next(whole, middle)


def _joins(character: str) -> bool:
    return unicodedata.category(character) in ("Mn", "Mc", "Me") or character == "\u200d"

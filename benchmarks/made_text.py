"""Parallel text of any size, made fast: words of many lengths, as often as Zipf's law has it, in sentences with marks.

The same call gives the same bytes. No word of it means anything; only its statistics are those of text.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_ONSETS = (*"bdfghklmnprstvw", "br", "ch", "kl", "sch", "st", "tr", "")
_VOWELS = {"en": ("a", "e", "i", "o", "u", "ea", "ou", "y"), "de": ("a", "e", "i", "o", "u", "ä", "ö", "ü", "ei", "ie")}
_CODAS = ("", "", "", "n", "r", "s", "t", "l", "m", "ng", "ck")
_WORDS = 100_000
_BLOCK_LINES = 100_000
_MEAN_WORDS = 12
# The most frequent word makes 6% of such a text, and the 90,000 least frequent ones 11%.
_SHIFT, _SLOPE = 2.7, 1.15


def write_parallel_text(folder: Path, lines: int, seed: int = 1) -> tuple[Path, Path]:
    """Write `made.en` and `made.de` with so many lines; about a million pairs in two seconds."""
    paths = folder / "made.en", folder / "made.de"
    generator = np.random.default_rng(seed)
    words = [_Words(language, generator) for language in ("en", "de")]
    with paths[0].open("wb") as source, paths[1].open("wb") as target:
        for start in range(0, lines, _BLOCK_LINES):
            counts = _sentence_lengths(generator, min(_BLOCK_LINES, lines - start))
            meanings = _zipf(generator, int(counts.sum()))
            source.write(words[0].sentences(meanings, counts, generator))
            target.write(words[1].sentences(*_translated(meanings, counts, generator), generator))
    return paths


class _Words:
    """The words of one language by frequency, each in the forms that it takes in a sentence."""

    def __init__(self, language: str, generator: np.random.Generator) -> None:
        plain = _word_forms(language, generator)
        forms = [[word + " " for word in plain], [word + ", " for word in plain]]
        forms += [[word + ".\n" for word in plain], [word.capitalize() + " " for word in plain]]
        self._forms = np.array([form for each in forms for form in each], dtype=object)

    def sentences(self, words: NDArray[np.int64], counts: NDArray[np.int64], generator: np.random.Generator) -> bytes:
        ends = np.cumsum(counts)
        form = (generator.random(len(words)) < 0.05).astype(np.int64)
        form[ends - counts] = 3
        form[ends - 1] = 2
        return "".join(self._forms[form * _WORDS + words].tolist()).encode()


def _word_forms(language: str, generator: np.random.Generator) -> list[str]:
    """Return different words, the frequent ones short (Zipf 1935)."""
    found: dict[str, None] = {}
    vowels = _VOWELS[language]
    while len(found) < _WORDS:
        syllables = 1 + min(4, int(len(found) ** 0.25 * generator.random() / 4))
        draws = generator.random((syllables, 3))
        found["".join(_pick(_ONSETS, a) + _pick(vowels, b) + _pick(_CODAS, c) for a, b, c in draws.tolist())] = None
        # Numbers stand among the words of a text.
        if len(found) % 50 == 0:
            found[str(len(found))] = None
    return list(found)[:_WORDS]


def _pick(items: Sequence[str], place: float) -> str:
    return items[int(place * len(items))]


def _sentence_lengths(generator: np.random.Generator, lines: int) -> NDArray[np.int64]:
    lengths = np.rint(generator.lognormal(np.log(_MEAN_WORDS), 0.6, lines))
    return np.clip(lengths, 2, 80).astype(np.int64)


def _zipf(generator: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Draw ranks from 0 of which rank r has a probability of about 1 / (r + 2.7) ** 1.15 (Mandelbrot 1953)."""
    least, most = _SHIFT ** (1 - _SLOPE), (_SHIFT + _WORDS) ** (1 - _SLOPE)
    ranks = generator.uniform(most, least, count) ** (1 / (1 - _SLOPE)) - _SHIFT
    return ranks.astype(np.int64).clip(0, _WORDS - 1)


def _translated(
    words: NDArray[np.int64], counts: NDArray[np.int64], generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Move each word by up to three places within its sentence, and leave one word in twelve out."""
    sentence = np.repeat(np.arange(len(counts)), counts)
    order = np.argsort(np.arange(len(words)) + generator.uniform(0, 3, len(words)) + sentence * 3.0)
    kept = generator.random(len(words)) > 1 / 12
    # Never all of a sentence.
    kept[np.cumsum(counts) - 1] = True
    kept = kept[order]
    return words[order][kept], np.bincount(sentence[order][kept], minlength=len(counts))

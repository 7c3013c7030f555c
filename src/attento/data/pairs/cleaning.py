"""The rules that leave pairs out of training, and the digests that tell equal text from unequal.

Each pair that is left out is counted under one rule, the first that hits it in the order of `Rule`. Reads no file.
"""

import hashlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from attento.data.pairs.config import CleaningConfig
from attento.data.pairs.corpora import Languages, Pair
from attento.data.pairs.scripts import script_of, script_share, scripts_of_language

# Controls that are white space (tab, line and page feeds, CR, U+0085) are left to the tokenizer, which sees spaces.
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufffd]")
_UNKNOWN = 2


class Rule(IntEnum):
    """Why a pair is left out; `KEPT` when it is not."""

    KEPT = 0
    EMPTY = 1
    CONTROL_CHARACTERS = 2
    WRONG_SCRIPT = 3
    IDENTICAL = 4
    TOO_LONG = 5
    LENGTH_RATIO = 6
    DUPLICATE = 7


@dataclass(frozen=True)
class Cleaner:
    """The rules that need one pair alone; duplicates need `SeenDigests`."""

    config: CleaningConfig
    languages: Languages

    def judge_texts(self, sources: Sequence[str], targets: Sequence[str]) -> NDArray[np.uint8]:
        """Return for each pair the first rule that leaves it out by its text, which has no white space around it."""
        suspects = _has_odd_character(sources, self.languages.source)
        suspects |= _has_odd_character(targets, self.languages.target)
        pairs = list(zip(sources, targets, strict=True))
        suspects |= np.fromiter((source == target or not (source and target) for source, target in pairs), np.bool_)
        rules = np.full(len(pairs), Rule.KEPT, np.uint8)
        for place in np.flatnonzero(suspects).tolist():
            rules[place] = self._judge_text(*pairs[place])
        return rules

    def _judge_text(self, source: str, target: str) -> Rule:
        config = self.config
        if config.drop_empty and not (source and target):
            return Rule.EMPTY
        if config.drop_control_characters and (_CONTROLS.search(source) or _CONTROLS.search(target)):
            return Rule.CONTROL_CHARACTERS
        if config.min_script_share is not None and self._is_wrong_script(source, target, config.min_script_share):
            return Rule.WRONG_SCRIPT
        if config.drop_identical and source == target:
            return Rule.IDENTICAL
        return Rule.KEPT

    def judge_lengths(self, source: NDArray[np.int32], target: NDArray[np.int32]) -> NDArray[np.uint8]:
        """Return for each pair the first rule that leaves it out by its numbers of pieces."""
        config = self.config
        shorter, longer = np.minimum(source, target), np.maximum(source, target)
        rules = np.full(len(source), Rule.KEPT, np.uint8)
        # The first rule comes last, and stays.
        if config.max_ratio is not None:
            rules[longer > config.max_ratio * shorter + config.ratio_slack] = Rule.LENGTH_RATIO
        if config.max_tokens is not None:
            rules[longer > config.max_tokens] = Rule.TOO_LONG
        if config.drop_empty:
            rules[shorter == 0] = Rule.EMPTY
        return rules

    def _is_wrong_script(self, source: str, target: str, least: float) -> bool:
        sides = ((source, self.languages.source), (target, self.languages.target))
        return any(
            scripts is not None and script_share(text, scripts) < least
            for text, scripts in ((text, scripts_of_language(language)) for text, language in sides)
        )


def _has_odd_character(texts: Sequence[str], language: str) -> NDArray[np.bool_]:
    """Return which texts hold a control character or a letter of a foreign script, which most texts do not."""
    joined = "\n".join((*texts, ""))
    codes = np.frombuffer(joined.encode("utf-32-le"), np.uint32)
    known = _oddness(language)
    found = known[codes]
    if (found == _UNKNOWN).any():
        for code in np.unique(codes[found == _UNKNOWN]).tolist():
            known[code] = _is_odd(chr(code), language)
        found = known[codes]
    line_ends = np.flatnonzero(codes == ord("\n"))
    result = np.zeros(len(texts), np.bool_)
    result[np.searchsorted(line_ends, np.flatnonzero(found))] = True
    return result


@cache
def _oddness(language: str) -> NDArray[np.uint8]:
    """Return what is known of every character; it is found out when a character is first met."""
    return np.full(sys.maxunicode + 1, _UNKNOWN, np.uint8)


def _is_odd(character: str, language: str) -> bool:
    scripts = scripts_of_language(language)
    is_foreign = scripts is not None and script_of(character) not in (None, *scripts)
    return is_foreign or _CONTROLS.match(character) is not None


def pair_digest(pair: Pair) -> int:
    """Return 64 bits that two pairs share when their texts are the same but for white space."""
    return _digest("\n".join(map(_single_spaced, pair)))


def sentence_digest(text: str) -> int:
    """Return 64 bits that two sentences share when they are the same but for white space and case."""
    return _digest(_single_spaced(text).casefold())


def _single_spaced(text: str) -> str:
    # No other white space is printable; most texts need no work.
    if text.isprintable() and "  " not in text and text[:1] != " " != text[-1:]:
        return text
    return " ".join(text.split())


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest(), "little")


class SeenDigests:
    """A set of 64-bit digests in 8 bytes each (and as much again while it grows): 0.8 GB for 100 million pairs.

    Two different texts share a digest with probability n**2 / 2**65 among n of them, 3 in 10,000 for 100 million.
    Kept as sorted arrays, a small one for what came of late and a large one that takes it in from time to time.
    """

    _LEAST_MERGE = 1 << 18

    def __init__(self) -> None:
        self._settled: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._recent: NDArray[np.uint64] = np.empty(0, np.uint64)

    def add(self, digests: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Add digests, and return which of them are met here for the first time."""
        values, first_places = np.unique(digests, return_index=True)
        new = ~(is_member(values, self._settled) | is_member(values, self._recent))
        self._recent = np.sort(np.concatenate((self._recent, values[new])))
        if len(self._recent) > max(self._LEAST_MERGE, len(self._settled) // 8):
            self._settled = np.sort(np.concatenate((self._settled, self._recent)), kind="stable")
            self._recent = np.empty(0, np.uint64)
        is_first = np.zeros(len(digests), np.bool_)
        is_first[first_places[new]] = True
        return is_first


def is_member(values: NDArray[np.uint64], ordered: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which values are in a sorted array."""
    if not len(ordered):
        return np.zeros(len(values), np.bool_)
    places = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return np.asarray(ordered[places] == values)

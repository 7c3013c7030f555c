"""Tokenizing much text: plainly, or word by word, where each word is tokenized once.

The second is for byte-pair vocabularies alone: no piece of theirs holds a space but as its first character, so that the
ids of a text are those of its words, one behind the other. (A unigram vocabulary weighs a text as a whole.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np

from attento.data.pairs.shards import Ragged, concatenate
from attento.text.tokenizer import Tokenizer

_MOST_WORDS = 1 << 18
_SPACE = "\u2581"


@dataclass(frozen=True)
class PlainTokenizer:
    """Gives the ids of any tokenizer, text by text."""

    tokenizer: Tokenizer

    def encode_batch(self, texts: Sequence[str]) -> Ragged:
        """Return the ids of many texts."""
        return Ragged.of(self.tokenizer.encode_batch(texts))


class _Numbers(dict[str, int]):
    """Numbers words in the order in which they are first asked for."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


class WordTokenizer:
    """Gives the ids that a byte-pair tokenizer gives; remembers those of some 260,000 words, 40 MB of them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._forget()

    def encode_batch(self, texts: Sequence[str]) -> Ragged:
        """Return the ids of many texts."""
        if len(self._numbers) > _MOST_WORDS:
            self._forget()
        # No other white space: whether that parts words is for the tokenizer's normalization to say. A text that holds
        # what the tokenizer writes for a space has no words that could be told apart.
        words = [[text] if _SPACE in text else text.split(" ") for text in texts]
        counts = np.fromiter(map(len, words), np.int64, len(words))
        numbers = np.fromiter(map(self._numbers.__getitem__, chain.from_iterable(words)), np.int64, int(counts.sum()))
        self._learn_new_words()
        return self._ids.take(numbers).regroup(counts)

    def _forget(self) -> None:
        self._numbers = _Numbers()
        self._ids = Ragged.of([])

    def _learn_new_words(self) -> None:
        new = list(islice(reversed(self._numbers), len(self._numbers) - len(self._ids)))[::-1]
        if new:
            self._ids = concatenate((self._ids, Ragged.of(self._tokenizer.encode_batch(new))))

    def __reduce__(self) -> tuple[type["WordTokenizer"], tuple[Tokenizer]]:
        return WordTokenizer, (self._tokenizer,)

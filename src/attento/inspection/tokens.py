"""Texts as a model met them: ids, what each token reads like, and which white-space word it is a part of."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from attento.text.special import BOS_ID, EOS_ID, PAD_ID
from attento.text.tokenizer import Tokenizer

NULL_ID = -1
"""Stands for the empty word before a sentence, which no vocabulary has."""
MARKS = {PAD_ID: "<pad>", BOS_ID: "<s>", EOS_ID: "</s>", NULL_ID: "∅"}
"""How the ids that stand for no text are written."""
_BROKEN = "\N{REPLACEMENT CHARACTER}"
_BLANKS = {" ": "␣", "\n": "⏎", "\t": "⇥", "": "␣", "▁": "␣"}


@dataclass(frozen=True)
class Line:
    """A text in tokens.

    Attributes:
        ids: the tokens' ids, marks included.
        tokens: what each reads like.
        words: for each token the number of its word, counted from 0, or None for a mark.
        text: the words, as they stand between white space.
    """

    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    words: tuple[int | None, ...]
    text: tuple[str, ...]

    def after(self, *marks: int) -> "Line":
        """Return this line with some marks before it."""
        names, none = tuple(map(MARKS.__getitem__, marks)), (None,) * len(marks)
        return Line(marks + self.ids, names + self.tokens, none + self.words, self.text)

    def before(self, *marks: int) -> "Line":
        """Return this line with some marks behind it."""
        names, none = tuple(map(MARKS.__getitem__, marks)), (None,) * len(marks)
        return Line(self.ids + marks, self.tokens + names, self.words + none, self.text)

    def then(self, other: "Line") -> "Line":
        """Return both lines one after the other, each with words of its own."""
        moved = tuple(None if word is None else word + len(self.text) for word in other.words)
        return Line(self.ids + other.ids, self.tokens + other.tokens, self.words + moved, self.text + other.text)


def rows_of(number: int) -> Line:
    """Return a line of so many numbered rows, which are no words of a text."""
    return Line(tuple(range(number)), tuple(f"row {row}" for row in range(number)), (None,) * number, ())


def read_text(tokenizer: Tokenizer, text: str) -> Line:
    """Cut a text into tokens."""
    ids = tokenizer.encode(text)
    words = text.split()
    # Where a vocabulary cuts at white space, the words before a place say how many tokens stand before it.
    prefixes = tokenizer.encode_batch([" ".join(words[:end]) for end in range(1, len(words) + 1)])
    ends = [0, *map(len, prefixes)]
    if all(prefix == ids[: len(prefix)] for prefix in prefixes) and ends[-1] == len(ids):
        numbers = tuple(word for word, (start, end) in enumerate(pairwise(ends)) for _ in range(start, end))
        return Line(tuple(ids), _readable(tokenizer, ids), numbers, tuple(words))
    return read_ids(tokenizer, ids)


def read_ids(tokenizer: Tokenizer, ids: Sequence[int]) -> Line:
    """Read tokens that a model has written; its words are those of the decoded text."""
    decoded = [tokenizer.decode(ids[:end]).split() for end in range(len(ids) + 1)]
    numbers: list[int] = []
    # From behind: a token of white space alone belongs to the word that it comes before.
    for before, after in reversed(list(pairwise(decoded))):
        writes = "".join(before) != "".join(after)
        numbers.append(max(len(after) - 1, 0) if writes or not numbers else numbers[-1])
    words = tuple(decoded[-1])
    # White space alone is part of no word where there is none.
    placed = tuple(number if words else None for number in reversed(numbers))
    return Line(tuple(ids), _readable(tokenizer, ids), placed, words)


def readable(tokenizer: Tokenizer, before: Sequence[int], token: int) -> str:
    """Return what a token reads like behind others."""
    if token in MARKS:
        return MARKS[token]
    start, whole = tokenizer.decode(before), tokenizer.decode([*before, token])
    added = whole[len(start) :] if whole.startswith(start) else ""
    piece = tokenizer.pieces([token])[0]
    # Some bytes of a character, or what is not written at the end of a text.
    shown = piece if not added.strip(" ") or _BROKEN in added else added.strip(" ")
    return _BLANKS.get(shown, shown.lstrip("▁") or "␣")


def _readable(tokenizer: Tokenizer, ids: Sequence[int]) -> tuple[str, ...]:
    return tuple(readable(tokenizer, ids[:place], token) for place, token in enumerate(ids))

"""What every tokenizer does: raw text to ids and back; and how tokenizers lie in a folder, one or a pair.

Knows the kinds of tokenizers by the endings of their files alone, and loads the code of a kind when a file asks for it.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from attento.errors import DataError, InputError

JOINT = "tokenizer"
SOURCE = "source"
TARGET = "target"
"""The names of the files, without their endings, of a tokenizer that stands alone and of a pair."""

_SUFFIXES = (".model", ".json")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Tokenizer(ABC):
    """Text to ids and back with one vocabulary, in which padding, unknown, begin and end are the ids 0, 1, 2 and 3.

    Pickles, so that worker processes can be given one. Two are equal when their files are.
    """

    suffix: ClassVar[str]
    """How the name of its file ends."""

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """How many ids there are, the special ones included."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, with what the vocabulary puts before every text, but no end of sentence.

        No text yields a special id but that of unknown.

        Raises:
            InputError: the text holds half of a surrogate pair, which is no character.
        """
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of many texts; one thread, so that worker processes do not crowd each other.

        Raises:
            InputError: a text holds half of a surrogate pair, which is no character.
        """
        for text in texts:
            if half := _SURROGATE.search(text):
                raise InputError(
                    f"the text holds U+{ord(half[0]):04X}, half of a surrogate pair: it is not valid Unicode"
                )
        return self._encode_batch(texts)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; special ids are left out, but that of unknown shows as ⁇ (U+2047).

        Raises:
            DataError: an id is outside the vocabulary.
        """
        plain = [int(i) for i in ids]
        outside = [i for i in plain if not 0 <= i < self.vocab_size]
        if outside:
            raise DataError(f"id {outside[0]} is outside the vocabulary of {self.vocab_size} pieces")
        return self._decode(plain)

    @abstractmethod
    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return the piece of each id, special or not, as the vocabulary writes it."""

    @abstractmethod
    def piece_id(self, piece: str) -> int | None:
        """Return the id of a piece as `pieces` writes it, or None where there is no such piece."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the file that `load_tokenizer` reads; its name should end in `suffix`."""

    @abstractmethod
    def _encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of texts that are valid Unicode."""

    @abstractmethod
    def _decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids that are in the vocabulary."""


def load_tokenizer(path: Path) -> Tokenizer:
    """Load a tokenizer's file: `.model` is sentencepiece's, `.json` that of Hugging Face's `tokenizers`.

    Raises:
        DataError: the file is missing, is no tokenizer, or numbers the special pieces in another way.
        MissingExtraError: a package that it needs is not installed.
    """
    if path.suffix not in _SUFFIXES:
        raise DataError(f"{path}: a tokenizer's file must end in {' or '.join(_SUFFIXES)}; rename it to what it is")
    return _parse(read_tokenizer_file(path), path)


def load_joint(folder: Path) -> Tokenizer:
    """Load the one tokenizer of a folder, `tokenizer.model` or `tokenizer.json`.

    Raises:
        DataError: there is none, there are two, or the file is no tokenizer of ours.
        MissingExtraError: a package that it needs is not installed.
    """
    found = _find([path.name for path in _files_of(folder)], JOINT, folder)
    return load_tokenizer(folder / (found or f"{JOINT}{_SUFFIXES[0]}"))


def save_joint(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the one tokenizer of a folder."""
    tokenizer.save(folder / f"{JOINT}{tokenizer.suffix}")


def read_tokenizer_file(path: Path) -> bytes:
    """Return what a file holds.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as problem:
        raise DataError(f"{path}: the tokenizer cannot be read: {problem.strerror}") from problem


@dataclass(frozen=True)
class TokenizerPair:
    """The tokenizers of both sides; one and the same object twice when the vocabulary is joint."""

    source: Tokenizer
    target: Tokenizer

    @property
    def joint(self) -> bool:
        """Whether both sides share one tokenizer."""
        return self.source == self.target

    @classmethod
    def load(cls, folder: Path) -> "TokenizerPair":
        """Load `tokenizer`, or `source` and `target`, from a folder; each may end in `.model` or `.json`.

        Raises:
            DataError: neither is there, both endings of one name are, or a file is no tokenizer of ours.
            MissingExtraError: a package that one of them needs is not installed.
        """
        return cls.parse({path.name: read_tokenizer_file(path) for path in _files_of(folder)}, folder)

    @classmethod
    def parse(cls, files: Mapping[str, bytes], place: Path) -> "TokenizerPair":
        """Make the tokenizers of what their files hold, by name; `place` is where they lie, for messages alone.

        Raises:
            DataError: as `load`.
            MissingExtraError: a package that one of them needs is not installed.
        """
        if joint := _find(files, JOINT, place):
            tokenizer = _parse(files[joint], place / joint)
            return cls(tokenizer, tokenizer)
        sides = {side: _find(files, side, place) for side in (SOURCE, TARGET)}
        if not any(sides.values()):
            raise DataError(
                f"{place}: holds no tokenizer (neither {JOINT}.model nor {SOURCE}.model and {TARGET}.model, nor these "
                "as .json); copy it again whole, or prepare or train anew"
            )
        for side, name in sides.items():
            if name is None:
                raise DataError(f"{place / side}.model: the tokenizer is missing; copy {place} again whole")
        source, target = (_parse(files[name], place / name) for name in sides.values() if name is not None)
        return cls(source, target)

    def save(self, folder: Path) -> None:
        """Write one file when joint, two when not."""
        if self.joint:
            save_joint(self.source, folder)
            return
        for tokenizer, side in ((self.source, SOURCE), (self.target, TARGET)):
            tokenizer.save(folder / f"{side}{tokenizer.suffix}")


def _files_of(folder: Path) -> list[Path]:
    """Return the tokenizers' files that are in a folder."""
    names = [f"{name}{suffix}" for name in (JOINT, SOURCE, TARGET) for suffix in _SUFFIXES]
    return [folder / name for name in names if (folder / name).is_file()]


def _find(files: Collection[str], name: str, place: Path) -> str | None:
    """Return the file of that name, whatever its ending."""
    found = [f"{name}{suffix}" for suffix in _SUFFIXES if f"{name}{suffix}" in files]
    if len(found) > 1:
        raise DataError(
            f"{place}: holds both {' and '.join(found)}; remove the one that the model was not trained with"
        )
    return found[0] if found else None


def _parse(content: bytes, path: Path) -> Tokenizer:
    """Make the tokenizer of a file's content, by the ending of its name."""
    if path.suffix == ".model":
        from attento.text.pieces import SentencePieceTokenizer

        return SentencePieceTokenizer.parse(content, path)
    from attento.text.hugging_face import HuggingFaceTokenizer

    return HuggingFaceTokenizer.parse(content, path)

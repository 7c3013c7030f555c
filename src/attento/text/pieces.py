"""The tokenizer that sentencepiece runs: subwords, characters or words in one `.model` file."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import sentencepiece

from attento.errors import DataError
from attento.text.special import BOS_ID, EOS_ID, PAD_ID, UNK_ID
from attento.text.tokenizer import Tokenizer, read_tokenizer_file

BLANK = "▁"
"""What sentencepiece writes for a space (U+2581)."""


class SentencePieceTokenizer(Tokenizer):
    """Text to ids and back with one sentencepiece vocabulary.

    Kudo and Richardson 2018, "SentencePiece: A simple and language independent subword tokenizer and detokenizer for
    neural text processing".
    """

    suffix: ClassVar[str] = ".model"

    def __init__(self, model: bytes) -> None:
        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)

    @classmethod
    def load(cls, path: Path) -> "SentencePieceTokenizer":
        """Load a sentencepiece model file.

        Raises:
            DataError: the file is missing, is no sentencepiece model, or numbers the special pieces in another way.
        """
        return cls.parse(read_tokenizer_file(path), path)

    @classmethod
    def parse(cls, model: bytes, path: Path) -> "SentencePieceTokenizer":
        """Make the tokenizer of what a sentencepiece model file holds; `path` is for messages alone.

        Raises:
            DataError: it is no sentencepiece model, or numbers the special pieces in another way.
        """
        try:
            tokenizer = cls(model)
        except RuntimeError as problem:
            raise DataError(f"{path}: is not a sentencepiece model") from problem
        if not tokenizer.vocab_size:
            raise DataError(f"{path}: is not a sentencepiece model")
        specials = tokenizer._special_ids()
        if specials != (PAD_ID, UNK_ID, BOS_ID, EOS_ID):
            raise DataError(
                f"{path}: the ids of <pad>, <unk>, <s> and </s> must be {(PAD_ID, UNK_ID, BOS_ID, EOS_ID)}, but are "
                f"{specials}; train the tokenizer with pad_id=0, unk_id=1, bos_id=2, eos_id=3"
            )
        return tokenizer

    @property
    def vocab_size(self) -> int:
        """How many ids there are, the special ones included."""
        return int(self._processor.vocab_size())

    def _encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        encoded: list[list[int]] = self._processor.encode(list(texts), num_threads=1)
        for row, text in enumerate(texts):
            if BLANK in text and self._keeps_whitespace:
                encoded[row] = self._encode_around_blanks(text)
            elif UNK_ID in encoded[row] and (self._keeps_whitespace or self._is_of_words):
                encoded[row] = self._encode_unknown_apart(text)
        return encoded

    def _decode(self, ids: Sequence[int]) -> str:
        text = str(self._processor.decode([i for i in ids if i not in self._marks]))
        return text if self._keeps_whitespace else text.strip(" ")

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return the piece of each id as sentencepiece writes it; "▁" (U+2581) stands for a space."""
        return [str(self._processor.id_to_piece(int(i))) for i in ids]

    def piece_id(self, piece: str) -> int | None:
        """Return the id of a piece as `pieces` writes it, or None where there is no such piece."""
        found = int(self._processor.piece_to_id(piece))
        return found if self.pieces([found]) == [piece] else None

    def save(self, path: Path) -> None:
        """Write the sentencepiece model file; any sentencepiece reads it."""
        path.write_bytes(self._model)

    @cached_property
    def _marks(self) -> frozenset[int]:
        """The ids that stand for no text: <pad>, <s>, </s> and all other control pieces."""
        return frozenset(i for i in range(self.vocab_size) if self._processor.is_control(i))

    @cached_property
    def _keeps_whitespace(self) -> bool:
        """Whether blanks are text like any other: others drop a lone one, or put one more before it."""
        return list(self._processor.encode(" ", out_type=str)) == [BLANK]

    @cached_property
    def _is_of_words(self) -> bool:
        """Whether each piece is a whole word: other vocabularies hold characters from within words."""
        text_ids = [i for i in range(self.vocab_size) if i != UNK_ID and i not in self._marks]
        return all(piece.startswith(BLANK) for piece in self.pieces(text_ids))

    def _encode_around_blanks(self, text: str) -> list[int]:
        """Encode a text that holds U+2581 itself, which sentencepiece would take for a space."""
        spelt = self._processor.piece_to_id([f"<0x{byte:02X}>" for byte in BLANK.encode()])
        ids: list[int] = []
        for number, part in enumerate(self._encode_batch(text.split(BLANK))):
            if number:
                ids += [UNK_ID] if UNK_ID in spelt else spelt
            ids += part
        return ids

    def _encode_unknown_apart(self, text: str) -> list[int]:
        """Give every unknown character, or word, an <unk> of its own: sentencepiece makes one of a row of them."""
        ids: list[int] = []
        encoded = zip(self._processor.encode(text), self._processor.encode(text, out_type=str), strict=True)
        for i, piece in encoded:
            run = len(piece) if self._keeps_whitespace else piece.count(BLANK)
            ids += [i] * (run if i == UNK_ID else 1)
        return ids

    def _special_ids(self) -> tuple[int, int, int, int]:
        processor = self._processor
        return processor.pad_id(), processor.unk_id(), processor.bos_id(), processor.eos_id()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SentencePieceTokenizer) and self._model == other._model

    def __hash__(self) -> int:
        return hash(self._model)

    def __reduce__(self) -> tuple[type["SentencePieceTokenizer"], tuple[bytes]]:
        return SentencePieceTokenizer, (self._model,)

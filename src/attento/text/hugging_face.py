"""The tokenizer that Hugging Face's `tokenizers` runs: BPE of bytes or characters, WordPiece or Unigram, as `.json`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

from attento.errors import DataError, MissingExtraError
from attento.text.post_processor import named_ids, prefix_of
from attento.text.special import BOS_ID, EOS_ID, PAD_ID, UNK_ID
from attento.text.tokenizer import Tokenizer, read_tokenizer_file

_UNKNOWN = "⁇"


class HuggingFaceTokenizer(Tokenizer):
    """Text to ids and back with one `tokenizer.json`, in the numbering of the house.

    What the file's post-processor puts before a text (BERT's [CLS], BART's <s>) is put there, since the model was
    trained with it; the end of the sentence is left to the house. A special token written out in a text is text: it is
    cut into other pieces, or where the vocabulary has none (Unigram's) counts as unknown.

    Raises:
        MissingExtraError: the package `tokenizers` is not installed.
    """

    suffix: ClassVar[str] = ".json"

    def __init__(self, text: str) -> None:
        try:
            import tokenizers
        except ImportError as problem:
            raise MissingExtraError("tokenizers", "interop") from problem
        self._text = text
        document = json.loads(text)
        self._tokenizer = tokenizers.Tokenizer.from_str(text)
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._size = self._tokenizer.get_vocab_size(with_added_tokens=True)
        self._prefix = [self._number(token) for token in prefix_of(document["post_processor"])]
        self._named_ids = named_ids(document["post_processor"])
        self._unknown_id = self._find_unknown(document["model"])
        # What stands for no text: all special tokens but that of unknown.
        self._marks = frozenset(t["id"] for t in document["added_tokens"] if t["special"]) - {UNK_ID}

    @classmethod
    def load(cls, path: Path) -> "HuggingFaceTokenizer":
        """Load a `tokenizer.json` that an import wrote.

        The file must say that padding, unknown, begin and end are the tokens 0 to 3: `post_processor.special_tokens`
        names them `attento:pad`, `attento:unk`, `attento:bos` and `attento:eos`, as `renumber_json` writes them.

        Raises:
            DataError: the file is missing, is damaged or no `tokenizer.json`, numbers the special tokens in another
                way, or leaves numbers out.
            MissingExtraError: the package `tokenizers` is not installed.
        """
        return cls.parse(read_tokenizer_file(path), path)

    @classmethod
    def parse(cls, content: bytes, path: Path) -> "HuggingFaceTokenizer":
        """Make the tokenizer of what such a file holds; `path` is for messages alone.

        Raises:
            DataError: as `load`, but for the file that is missing.
            MissingExtraError: the package `tokenizers` is not installed.
        """
        try:
            tokenizer = cls(content.decode("utf-8"))
        except MissingExtraError:
            raise
        except Exception as problem:  # the package raises no narrower one
            raise DataError(
                f"{path}: is not a tokenizer.json that the package `tokenizers` reads ({problem}); copy it again "
                "whole, or import the model anew"
            ) from problem
        specials = tokenizer._named_ids
        if specials != (PAD_ID, UNK_ID, BOS_ID, EOS_ID):
            found = "the file does not name them" if specials is None else f"are {specials}"
            raise DataError(
                f"{path}: the ids of padding, unknown, begin and end must be {(PAD_ID, UNK_ID, BOS_ID, EOS_ID)}, but "
                f"{found}; `attento import` renumbers the tokenizer together with its model"
            )
        if tokenizer._unknown_id != UNK_ID:
            raise DataError(
                f"{path}: its model has the id {tokenizer._unknown_id} for unknown text, but it must be {UNK_ID}; "
                "import the model anew"
            )
        if None in (tokenizer._tokenizer.id_to_token(i) for i in range(tokenizer.vocab_size)):
            raise DataError(f"{path}: the numbering of its tokens has gaps; import the model anew")
        return tokenizer

    @property
    def vocab_size(self) -> int:
        """How many ids there are, the special ones included."""
        return self._size

    def _find_unknown(self, model: Mapping[str, Any]) -> int | None:
        """Return the id of text that the model has no token for; where there is none, all text has tokens."""
        if model["type"] == "Unigram":
            return cast(int | None, model["unk_id"])
        token = model.get("unk_token")
        return UNK_ID if token is None else self._tokenizer.token_to_id(token)

    def _number(self, token: str) -> int:
        number = self._tokenizer.token_to_id(token)
        if number is None:
            raise ValueError(f"the post-processor puts {token!r} before a text, which is no token")
        return number

    def _encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._prefix + self._encode_text(text) for text in texts]

    def _encode_text(self, text: str) -> list[int]:
        ids = list(self._tokenizer.encode(text, add_special_tokens=False).ids)
        return ids if self._marks.isdisjoint(ids) else [UNK_ID if i in self._marks else i for i in ids]

    def _decode(self, ids: Sequence[int]) -> str:
        tokens = [_UNKNOWN if i == UNK_ID else str(self._tokenizer.id_to_token(i)) for i in ids if i not in self._marks]
        decoder = self._tokenizer.decoder
        return " ".join(tokens) if decoder is None else str(decoder.decode(tokens))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return the token of each id as the file writes it."""
        return [str(self._tokenizer.id_to_token(int(i))) for i in ids]

    def piece_id(self, piece: str) -> int | None:
        """Return the id of a token as `pieces` writes it, or None where there is no such token."""
        return self._tokenizer.token_to_id(piece)

    def save(self, path: Path) -> None:
        """Write the `tokenizer.json`; Hugging Face's `tokenizers` reads it."""
        path.write_bytes(self._text.encode("utf-8"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HuggingFaceTokenizer) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> tuple[type["HuggingFaceTokenizer"], tuple[str]]:
        return HuggingFaceTokenizer, (self._text,)

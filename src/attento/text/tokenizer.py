"""Tokenizers of subwords, characters and words: raw text to ids and back, learned by sentencepiece.

Holds one tokenizer, the pair that a translation system needs, and their training. Adds no begin or end of sentence, and
knows nothing of corpora: training takes an iterable of lines.
"""

import io
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import sentencepiece

from attento.errors import DataError, InputError
from attento.text.special import BOS_ID, EOS_ID, PAD_ID, UNK_ID

SubwordModel = Literal["bpe", "unigram"]
TokenizerModel = Literal["bpe", "unigram", "char", "word"]
Normalization = Literal["nmt_nfkc", "nmt_nfkc_cf", "nfkc", "nfkc_cf", "identity"]

JOINT_FILE = "tokenizer.model"
SOURCE_FILE = "source.model"
TARGET_FILE = "target.model"

# The unigram trainer adds floating-point sums thread by thread: with a fixed number, any machine learns the same model.
_TRAINING_THREADS = 16
# In bytes; sentencepiece would leave longer lines out of its training without a word.
_MAX_LINE_BYTES = 1 << 24
_ERRORS_ONLY = 2
_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANK = "▁"
_KEEP_WHITESPACE = {
    "add_dummy_prefix": False,
    "remove_extra_whitespaces": False,
    "unk_surface": "⁇",
}


class Tokenizer:
    """Text to ids and back with one sentencepiece vocabulary.

    Kudo and Richardson 2018, "SentencePiece: A simple and language independent subword tokenizer and detokenizer for
    neural text processing". Pickles, so that worker processes can be given one.
    """

    def __init__(self, model: bytes) -> None:
        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Load a sentencepiece model file.

        Raises:
            DataError: the file is missing, is no sentencepiece model, or numbers the special pieces in another way.
        """
        try:
            model = path.read_bytes()
        except OSError as problem:
            raise DataError(f"{path}: the tokenizer cannot be read: {problem.strerror}") from problem
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

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without begin or end of sentence.

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
        encoded: list[list[int]] = self._processor.encode(list(texts), num_threads=1)
        for row, text in enumerate(texts):
            if _BLANK in text and self._keeps_whitespace:
                encoded[row] = self._encode_around_blanks(text)
            elif UNK_ID in encoded[row] and (self._keeps_whitespace or self._is_of_words):
                encoded[row] = self._encode_unknown_apart(text)
        return encoded

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; <pad>, <s> and </s> are left out and <unk> shows as ⁇ (U+2047).

        Raises:
            DataError: an id is outside the vocabulary.
        """
        plain = [int(i) for i in ids]
        outside = [i for i in plain if not 0 <= i < self.vocab_size]
        if outside:
            raise DataError(f"id {outside[0]} is outside the vocabulary of {self.vocab_size} pieces")
        text = str(self._processor.decode([i for i in plain if i not in (PAD_ID, BOS_ID, EOS_ID)]))
        return text if self._keeps_whitespace else text.strip(" ")

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return the piece of each id as sentencepiece writes it; "▁" (U+2581) stands for a space."""
        return [str(self._processor.id_to_piece(int(i))) for i in ids]

    def save(self, path: Path) -> None:
        """Write the sentencepiece model file; any sentencepiece reads it."""
        path.write_bytes(self._model)

    @cached_property
    def _keeps_whitespace(self) -> bool:
        """Whether blanks are text like any other: others drop a lone one, or put one more before it."""
        return list(self._processor.encode(" ", out_type=str)) == [_BLANK]

    @cached_property
    def _is_of_words(self) -> bool:
        """Whether each piece is a whole word: other vocabularies hold characters from within words."""
        return all(piece.startswith(_BLANK) for piece in self.pieces(range(EOS_ID + 1, self.vocab_size)))

    def _encode_around_blanks(self, text: str) -> list[int]:
        """Encode a text that holds U+2581 itself, which sentencepiece would take for a space."""
        spelt = self._processor.piece_to_id([f"<0x{byte:02X}>" for byte in _BLANK.encode()])
        ids: list[int] = []
        for number, part in enumerate(self.encode_batch(text.split(_BLANK))):
            if number:
                ids += [UNK_ID] if UNK_ID in spelt else spelt
            ids += part
        return ids

    def _encode_unknown_apart(self, text: str) -> list[int]:
        """Give every unknown character, or word, an <unk> of its own: sentencepiece makes one of a row of them."""
        ids: list[int] = []
        encoded = zip(self._processor.encode(text), self._processor.encode(text, out_type=str), strict=True)
        for i, piece in encoded:
            run = len(piece) if self._keeps_whitespace else piece.count(_BLANK)
            ids += [i] * (run if i == UNK_ID else 1)
        return ids

    def _special_ids(self) -> tuple[int, int, int, int]:
        processor = self._processor
        return processor.pad_id(), processor.unk_id(), processor.bos_id(), processor.eos_id()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and self._model == other._model

    def __hash__(self) -> int:
        return hash(self._model)

    def __reduce__(self) -> tuple[type["Tokenizer"], tuple[bytes]]:
        return Tokenizer, (self._model,)


@dataclass(frozen=True)
class TokenizerPair:
    """The tokenizers of both sides; one and the same object twice when the vocabulary is joint."""

    source: Tokenizer
    target: Tokenizer

    @property
    def joint(self) -> bool:
        """Whether both sides share one vocabulary."""
        return self.source == self.target

    @classmethod
    def load(cls, folder: Path) -> "TokenizerPair":
        """Load `tokenizer.model`, or `source.model` and `target.model`, from a folder.

        Raises:
            DataError: neither is there, or a file is no tokenizer of ours.
        """
        if (folder / JOINT_FILE).is_file():
            tokenizer = Tokenizer.load(folder / JOINT_FILE)
            return cls(tokenizer, tokenizer)
        if not (folder / SOURCE_FILE).is_file() and not (folder / TARGET_FILE).is_file():
            raise DataError(
                f"{folder}: holds no tokenizer (neither {JOINT_FILE} nor {SOURCE_FILE} and {TARGET_FILE}); copy it "
                "again whole, or prepare or train anew"
            )
        return cls(Tokenizer.load(folder / SOURCE_FILE), Tokenizer.load(folder / TARGET_FILE))

    def save(self, folder: Path) -> None:
        """Write one file when joint, two when not."""
        if self.joint:
            self.source.save(folder / JOINT_FILE)
        else:
            self.source.save(folder / SOURCE_FILE)
            self.target.save(folder / TARGET_FILE)


def train_tokenizer(
    lines: Iterable[str],
    *,
    model: TokenizerModel,
    vocab_size: int | None,
    byte_fallback: bool,
    character_coverage: float,
    normalization: Normalization,
    keep_whitespace: bool = False,
) -> Tokenizer:
    r"""Learn a vocabulary from lines of text; the same lines and settings give the same bytes.

    "bpe": Sennrich et al. 2016, "Neural machine translation of rare words with subword units". "unigram": Kudo 2018,
    "Subword regularization". "char": a piece a character. "word": a piece a word, which ends at white space. With
    `byte_fallback` a character outside the vocabulary becomes its UTF-8 bytes, so that no text is lost; 256 entries of
    the vocabulary go to the bytes.

    `vocab_size` is the number of pieces; of "char" and "word" it is the greatest number, the most frequent come first,
    and None takes all that the lines hold. `keep_whitespace`, which is not for "word", takes blanks as text like any
    other and "\n" (which no line may hold) as a piece of its own: with the normalization "identity", what is decoded is
    then exactly what was encoded, but for unknown characters without `byte_fallback`.

    Raises:
        DataError: there is no text, or the text cannot fill (or does not fit into) a vocabulary of that size.
        ValueError: "word" with `keep_whitespace`, or a subword model without `vocab_size`.
    """
    written = io.BytesIO()
    train = partial(
        sentencepiece.SentencePieceTrainer.train,
        sentence_iterator=_with_all_whitespace(lines) if keep_whitespace else iter(lines),
        model_writer=written,
        **_model_settings(model, vocab_size, keep_whitespace),
        byte_fallback=byte_fallback,
        character_coverage=character_coverage,
        normalization_rule_name=normalization,
        pad_id=PAD_ID,
        unk_id=UNK_ID,
        bos_id=BOS_ID,
        eos_id=EOS_ID,
        max_sentence_length=_MAX_LINE_BYTES,
        num_threads=_TRAINING_THREADS,
        minloglevel=_ERRORS_ONLY,
    )
    try:
        _run_interruptibly(train)
    except RuntimeError as problem:
        raise DataError(_explain(str(problem), vocab_size)) from problem
    return Tokenizer(written.getvalue())


def _model_settings(model: TokenizerModel, vocab_size: int | None, keep_whitespace: bool) -> dict[str, Any]:
    if model == "word" and keep_whitespace:
        raise ValueError("a vocabulary of words cannot keep white space")
    if model in ("bpe", "unigram") and vocab_size is None:
        raise ValueError(f"the model {model!r} needs a `vocab_size`")
    settings: dict[str, Any] = {"model_type": model}
    settings |= {"use_all_vocab": True} if vocab_size is None else {"vocab_size": vocab_size}
    if model in ("char", "word"):
        settings["hard_vocab_limit"] = False
    if keep_whitespace:
        # A blank must be a piece: as bytes it would be decoded as U+2581. Only "char" may leave out one that it meets.
        settings |= _KEEP_WHITESPACE | {"user_defined_symbols": ["\n", _BLANK] if model == "char" else ["\n"]}
    return settings


def _with_all_whitespace(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines so that sentencepiece meets each of their characters, and a blank."""
    first = next(iterator := iter(lines), None)
    if first is None:
        return
    for line in chain([" ", first], iterator):
        for part in line.split(_BLANK):
            # A carriage return at the end would be taken for a part of the line's end.
            yield f"{part} " if part.endswith("\r") else part


def _run_interruptibly(work: Callable[[], object]) -> None:
    """Do long work outside Python in a thread, so that Ctrl-C is answered at once and not when the work is done."""
    problems: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(timeout=0.2)
    if problems:
        raise problems[0]


def _explain(message: str, vocab_size: int | None) -> str:
    setting = f"`data.tokenizer.vocab_size` is {vocab_size}"
    if found := re.search(r"Vocabulary size too high.*<= (\d+)", message):
        return f"{setting}, but the training text yields at most {found[1]} pieces: set it to {found[1]} or less"
    if found := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return (
            f"{setting}, but the characters of the training text alone take {found[1]}: set it well above that, or "
            "lower `data.tokenizer.character_coverage` and keep `data.tokenizer.byte_fallback` on"
        )
    if "sentences_.empty()" in message:
        return "no text is left to train the tokenizer on"
    return f"sentencepiece cannot train this tokenizer: {message}"

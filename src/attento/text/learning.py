"""Learning a vocabulary of subwords, characters or words from lines of text, by sentencepiece.

Knows nothing of corpora: training takes an iterable of lines.
"""

import io
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, Literal

import sentencepiece

from attento.errors import DataError
from attento.text.pieces import BLANK, SentencePieceTokenizer
from attento.text.special import BOS_ID, EOS_ID, PAD_ID, UNK_ID

SubwordModel = Literal["bpe", "unigram"]
TokenizerModel = Literal["bpe", "unigram", "char", "word"]
Normalization = Literal["nmt_nfkc", "nmt_nfkc_cf", "nfkc", "nfkc_cf", "identity"]

# Sentencepiece's own names of the four.
_SPECIAL_PIECES = ("<pad>", "<unk>", "<s>", "</s>")
# The unigram trainer adds floating-point sums thread by thread: with a fixed number, any machine learns the same model.
_TRAINING_THREADS = 16
# In bytes; sentencepiece would leave longer lines out of its training without a word.
_MAX_LINE_BYTES = 1 << 24
_ERRORS_ONLY = 2
_KEEP_WHITESPACE = {
    "add_dummy_prefix": False,
    "remove_extra_whitespaces": False,
    "unk_surface": "⁇",
}


def train_tokenizer(
    lines: Iterable[str],
    *,
    model: TokenizerModel,
    vocab_size: int | None,
    byte_fallback: bool,
    character_coverage: float,
    normalization: Normalization,
    keep_whitespace: bool = False,
    special_pieces: Sequence[str] = (),
) -> SentencePieceTokenizer:
    r"""Learn a vocabulary from lines of text; the same lines and settings give the same bytes.

    "bpe": Sennrich et al. 2016, "Neural machine translation of rare words with subword units". "unigram": Kudo 2018,
    "Subword regularization". "char": a piece a character. "word": a piece a word, which ends at white space. With
    `byte_fallback` a character outside the vocabulary becomes its UTF-8 bytes, so that no text is lost; 256 entries of
    the vocabulary go to the bytes.

    `vocab_size` is the number of pieces; of "char" and "word" it is the greatest number, the most frequent come first,
    and None takes all that the lines hold. `keep_whitespace`, which is not for "word", takes blanks as text like any
    other and "\n" (which no line may hold) as a piece of its own: with the normalization "identity", what is decoded is
    then exactly what was encoded, but for unknown characters without `byte_fallback`.

    `special_pieces` ("<mask>", "<extra_id_0>") get the ids from 4 on and count as pieces. They are marks, not text: no
    text yields one, `pieces` shows them and `decode` leaves them out.

    Raises:
        DataError: there is no text, or the text cannot fill (or does not fit into) a vocabulary of that size.
        ValueError: "word" with `keep_whitespace`, a subword model without `vocab_size`, or a special piece that is
            empty or stands twice.
    """
    _check_special(special_pieces)
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
        control_symbols=list(special_pieces),
        max_sentence_length=_MAX_LINE_BYTES,
        num_threads=_TRAINING_THREADS,
        minloglevel=_ERRORS_ONLY,
    )
    try:
        _run_interruptibly(train)
    except RuntimeError as problem:
        raise DataError(_explain(str(problem), vocab_size)) from problem
    return SentencePieceTokenizer(written.getvalue())


def _check_special(pieces: Sequence[str]) -> None:
    if not all(pieces):
        raise ValueError("a special piece is empty")
    taken = Counter([*_SPECIAL_PIECES, *pieces])
    if twice := [piece for piece, count in taken.items() if count > 1]:
        raise ValueError(f"the special piece {twice[0]!r} stands twice in the vocabulary")


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
        settings |= _KEEP_WHITESPACE | {"user_defined_symbols": ["\n", BLANK] if model == "char" else ["\n"]}
    return settings


def _with_all_whitespace(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines so that sentencepiece meets each of their characters, and a blank."""
    first = next(iterator := iter(lines), None)
    if first is None:
        return
    for line in chain([" ", first], iterator):
        for part in line.split(BLANK):
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

r"""From raw text to a prepared folder of running text: check, learn the vocabulary, tokenize, store.

Holds the text in memory while it works. The folder is made beside its place and renamed when it is whole.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attento.data.lines import read_lines
from attento.data.partial import Progress, partial_folder, put_in_place, refuse_foreign_folder
from attento.data.record import RECORD_FILE, TOKENIZER_FILE, save_array, write_json
from attento.data.stream.config import StreamDataConfig, StreamTokenizerConfig, TextCorpusConfig
from attento.data.stream.prepared import FORMAT, TRAIN_FILE, VALIDATION_FILE, PreparedStream
from attento.errors import DataError
from attento.text.learning import train_tokenizer
from attento.text.special import BOS_ID, UNK_ID
from attento.text.tokenizer import Tokenizer

_LINES_AT_ONCE = 4096


def prepare_stream(
    config: StreamDataConfig, data_root: Path, output: Path, *, progress: Progress | None = None
) -> PreparedStream:
    """Prepare running text into a folder, or open the folder when it already holds just that.

    Same settings and text give the same bytes. A folder of another preparation is replaced once the new one is whole;
    any other folder is left alone.

    Raises:
        DataError: a text cannot be read as it stands or a part of it is empty, the vocabulary cannot be learned, or
            the folder cannot be written.
        MissingExtraError: a `.zst` file is read and `zstandard` is not installed.
    """
    report_progress = progress or _silent
    refuse_foreign_folder(output)
    texts = _read(config, data_root)
    already = _opened(output, type(config))
    if already is not None and already.fingerprint == texts.fingerprint:
        return already
    with partial_folder(output) as folder:
        _fill(folder, config, texts, report_progress)
        put_in_place(folder, output)
    return PreparedStream.open(output, type(config))


def stream_fingerprint(config: StreamDataConfig, data_root: Path) -> str:
    """Return what `PreparedStream.fingerprint` would be: a hash of all settings and of all text they name.

    Raises:
        DataError: a text cannot be read as it stands.
    """
    return _read(config, data_root).fingerprint


def read_text(corpus: TextCorpusConfig, data_root: Path) -> str:
    r"""Return a text, or the part of it that is named; the last line of a file is ended by "\n" where it is not.

    Raises:
        DataError: the file is missing, damaged, not UTF-8 or holds a NUL byte, or the part holds no character.
        MissingExtraError: a `.zst` file is read and `zstandard` is not installed.
    """
    path = data_root / corpus.text
    text = "".join(f"{line}\n" for line in read_lines(path))
    part = text[int(corpus.start * len(text)) : int(corpus.stop * len(text))]
    if not part:
        raise DataError(
            f"{path}: has {len(text)} characters, none of them between `start` {corpus.start} and `stop` {corpus.stop}"
        )
    return part


def encode_text(tokenizer: Tokenizer, text: str, progress: Progress | None = None) -> NDArray[np.int32]:
    """Return bos and the ids of a text. No piece spans two lines, so that they can be encoded one by one.

    Raises:
        InputError: the text holds half of a surrogate pair, which is no character.
    """
    report_progress = progress or _silent
    lines = list(_lines(text))
    blocks = [np.array([BOS_ID], np.int32)]
    for start in range(0, len(lines), _LINES_AT_ONCE):
        rows = tokenizer.encode_batch(lines[start : start + _LINES_AT_ONCE])
        blocks.append(np.fromiter((i for row in rows for i in row), np.int32, sum(map(len, rows))))
        report_progress("encoding", min(start + _LINES_AT_ONCE, len(lines)), len(lines))
    return np.concatenate(blocks)


@dataclass(frozen=True)
class _Texts:
    train: str
    validation: str
    fingerprint: str


def _read(config: StreamDataConfig, data_root: Path) -> _Texts:
    settings = json.dumps(config.model_dump(mode="json"), sort_keys=True)
    content = hashlib.sha256(f"{config.task}\0{FORMAT}\0{settings}".encode())
    held_out = (config.validation,) if config.test is None else (config.validation, config.test)
    texts = [read_text(corpus, data_root) for corpus in (*config.train, *held_out)]
    for text in texts:
        content.update(hashlib.sha256(text.encode("utf-8")).digest())
    train = "".join(texts[: len(config.train)])
    return _Texts(train, texts[len(config.train)], content.hexdigest())


def _fill(folder: Path, config: StreamDataConfig, texts: _Texts, progress: Progress) -> None:
    progress("training the tokenizer", 0, 1)
    tokenizer = _train(config.tokenizer, texts.train, config.special_pieces)
    progress("training the tokenizer", 1, 1)
    tokenizer.save(folder / TOKENIZER_FILE)
    save_array(folder / TRAIN_FILE, encode_text(tokenizer, texts.train, progress))
    validation = encode_text(tokenizer, texts.validation)
    save_array(folder / VALIDATION_FILE, validation)
    record = {
        "task": config.task,
        "format": FORMAT,
        "fingerprint": texts.fingerprint,
        "validation": {"characters": len(texts.validation), "bytes": len(texts.validation.encode("utf-8"))},
        "warnings": [*_overlaps(config), *_unknown(config, validation)],
        "settings": config.model_dump(mode="json"),
    }
    write_json(folder / RECORD_FILE, record)


def _train(config: StreamTokenizerConfig, text: str, special_pieces: Sequence[str]) -> Tokenizer:
    return train_tokenizer(
        (line.removesuffix("\n") for line in _lines(text)),
        model=config.model,
        vocab_size=config.vocab_size,
        byte_fallback=config.byte_fallback,
        character_coverage=1.0,
        normalization="identity",
        keep_whitespace=True,
        special_pieces=special_pieces,
    )


def _lines(text: str) -> Iterator[str]:
    r"""Yield lines with their ends, which are "\n" alone."""
    return io.StringIO(text, newline="\n")


def _overlaps(config: StreamDataConfig) -> list[str]:
    return [
        f"the {name} text ({held_out.name}) overlaps the training text ({corpus.name})"
        for name, held_out in (("validation", config.validation), ("test", config.test))
        for corpus in config.train
        if held_out is not None and held_out.overlaps(corpus)
    ]


def _unknown(config: StreamDataConfig, validation: NDArray[np.int32]) -> list[str]:
    count = int((validation == UNK_ID).sum())
    if not count:
        return []
    return [
        f"{count} characters of the validation text ({config.validation.name}) are not in the vocabulary and count as "
        "<unk>; `data.tokenizer.byte_fallback` would spell them"
    ]


def _opened(output: Path, kind: type[StreamDataConfig]) -> PreparedStream | None:
    try:
        return PreparedStream.open(output, kind)
    except DataError:
        return None  # not there, of another make or damaged: it is made anew


def _silent(stage: str, done: int, total: int | None) -> None:
    """Tell nobody."""

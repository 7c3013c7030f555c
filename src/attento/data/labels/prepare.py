"""From labelled sentences to a prepared folder: check, hold out, learn the vocabulary, tokenize, store.

Holds the examples in memory while it works. The folder is made beside its place and renamed when it is whole.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attento.data.labels.config import LabelDataConfig, LabelTokenizerConfig
from attento.data.labels.corpora import Example, read_labelled
from attento.data.labels.examples import encode_examples
from attento.data.labels.prepared import FORMAT, TASK, PreparedLabels
from attento.data.partial import Progress, partial_folder, put_in_place, refuse_foreign_folder
from attento.data.record import RECORD_FILE, TOKENIZER_FILE, write_json
from attento.errors import DataError
from attento.text.learning import train_tokenizer
from attento.text.tokenizer import Tokenizer

_HELD_OUT_SEED = 20170612


def prepare_labels(
    config: LabelDataConfig, data_root: Path, output: Path, *, progress: Progress | None = None
) -> PreparedLabels:
    """Prepare labelled sentences into a folder, or open the folder when it already holds just that.

    Same settings and text give the same bytes. A folder of another preparation is replaced once the new one is whole;
    any other folder is left alone.

    Raises:
        DataError: a file cannot be read as it stands, training has fewer than two labels, validation has a label that
            training lacks, the vocabulary cannot be learned, or the folder cannot be written.
        MissingExtraError: a `.zst` file is read and `zstandard` is not installed.
    """
    report_progress = progress or _silent
    refuse_foreign_folder(output)
    corpus = _read(config, data_root)
    already = _opened(output)
    if already is not None and already.fingerprint == corpus.fingerprint:
        return already
    with partial_folder(output) as folder:
        _fill(folder, config, corpus, report_progress)
        put_in_place(folder, output)
    return PreparedLabels.open(output)


def labels_fingerprint(config: LabelDataConfig, data_root: Path) -> str:
    """Return what `PreparedLabels.fingerprint` would be: a hash of all settings and of every example they name.

    Raises:
        DataError: a file cannot be read as it stands.
    """
    return _read(config, data_root).fingerprint


@dataclass(frozen=True)
class _Corpus:
    train: list[Example]
    validation: list[Example]
    test: list[Example]
    fingerprint: str


def _read(config: LabelDataConfig, data_root: Path) -> _Corpus:
    settings = json.dumps(config.model_dump(mode="json"), sort_keys=True)
    content = hashlib.sha256(f"{TASK}\0{FORMAT}\0{settings}".encode())
    parts: list[list[Example]] = []
    for corpus in (*config.train, config.validation, config.test):
        examples = [] if corpus is None else read_labelled(data_root / corpus.file, corpus)
        lines = json.dumps([(example.label, *example.sentences) for example in examples])
        content.update(hashlib.sha256(lines.encode()).digest())
        parts.append(examples)
    train = [example for part in parts[:-2] for example in part]
    validation, test = parts[-2:]
    if config.validation is None:
        train, validation = _hold_out(train, config.validation_share)
    return _Corpus(train, validation, test, content.hexdigest())


def _hold_out(examples: Sequence[Example], share: float) -> tuple[list[Example], list[Example]]:
    """Draw the validation examples; both parts keep the order of the files."""
    count = max(1, round(share * len(examples)))
    if count >= len(examples):
        raise DataError(
            f"a `data.validation_share` of {share} leaves none of {len(examples)} examples to train on; lower it"
        )
    generator = np.random.Generator(np.random.PCG64(_HELD_OUT_SEED))
    drawn = np.zeros(len(examples), np.bool_)
    drawn[generator.choice(len(examples), count, replace=False)] = True
    kept, held_out = (
        [example for example, is_out in zip(examples, drawn, strict=True) if is_out == side] for side in (False, True)
    )
    return kept, held_out


def _fill(folder: Path, config: LabelDataConfig, corpus: _Corpus, progress: Progress) -> None:
    labels = sorted({example.label for example in corpus.train})
    if len(labels) < 2:
        raise DataError(f"all training examples have the label `{labels[0]}`; there is nothing to tell apart")
    progress("training the tokenizer", 0, 1)
    tokenizer = _train(config.tokenizer, corpus.train)
    progress("training the tokenizer", 1, 1)
    tokenizer.save(folder / TOKENIZER_FILE)
    parts = [
        ("train", corpus.train, "the training examples"),
        ("validation", corpus.validation, _validation_name(config)),
    ]
    for number, (name, examples, origin) in enumerate(parts):
        progress("encoding", number, len(parts))
        encode_examples(examples, tokenizer, labels, origin).save(folder, name)
    progress("encoding", len(parts), len(parts))
    record = {
        "task": TASK,
        "format": FORMAT,
        "fingerprint": corpus.fingerprint,
        "labels": labels,
        "counts": {"train": len(corpus.train), "validation": len(corpus.validation)},
        "warnings": _overlaps(config, corpus),
        "settings": config.model_dump(mode="json"),
    }
    write_json(folder / RECORD_FILE, record)


def _train(config: LabelTokenizerConfig, examples: Sequence[Example]) -> Tokenizer:
    return train_tokenizer(
        (sentence for example in examples for sentence in example.sentences),
        model=config.model,
        vocab_size=config.vocab_size,
        byte_fallback=False,
        character_coverage=1.0,
        normalization="nmt_nfkc_cf" if config.lowercase else "nmt_nfkc",
    )


def _validation_name(config: LabelDataConfig) -> str:
    return "the held-out training examples" if config.validation is None else config.validation.file


def _overlaps(config: LabelDataConfig, corpus: _Corpus) -> list[str]:
    trained = {example.sentences for example in corpus.train}
    warnings = []
    for name, examples in ((_validation_name(config), corpus.validation), ("the test examples", corpus.test)):
        both = sum(example.sentences in trained for example in examples)
        if both:
            warnings.append(f"{both} of {len(examples)} examples stand in the training text too: {name}")
    return warnings


def _opened(output: Path) -> PreparedLabels | None:
    try:
        return PreparedLabels.open(output)
    except DataError:
        return None  # not there, of another make or damaged: it is made anew


def _silent(stage: str, done: int, total: int | None) -> None:
    """Tell nobody."""

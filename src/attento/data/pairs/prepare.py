"""From raw parallel text to a prepared folder: check, learn the vocabulary, clean, tokenize, store, report.

The corpora are read twice, as streams: once to check every line, take their fingerprint and draw the tokenizer's
sample, once to encode. Memory holds that sample, a few chunks under way, the words that each process has met of late,
the held-out text and 8 to 16 bytes a training pair for telling duplicates. The folder is made beside its place and
renamed when it is whole.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attento.data.lines import CHUNK_LINES
from attento.data.pairs.cleaning import Cleaner, Rule, SeenDigests
from attento.data.pairs.config import DataConfig, TokenizerConfig
from attento.data.pairs.corpora import Chunk, Languages, Pair, read_chunks
from attento.data.pairs.encoding import EncodedChunk, Encoder, encode_chunks, strip
from attento.data.pairs.held_out import HeldOut
from attento.data.pairs.prepared import (
    FORMAT,
    REPORT_FILE,
    REPORT_JSON_FILE,
    VALIDATION_TEXTS,
    PreparedCorpus,
    known_fingerprint,
    renew_stamps,
)
from attento.data.pairs.report import CorpusCount, Report
from attento.data.pairs.scripts import scripts_of_language
from attento.data.pairs.shards import ShardWriter
from attento.data.pairs.stamps import Stamps, stamp_files
from attento.data.pairs.words import PlainTokenizer
from attento.data.partial import Progress, partial_folder, put_in_place, refuse_foreign_folder
from attento.data.record import RECORD_FILE, write_json
from attento.errors import DataError
from attento.text.learning import train_tokenizer
from attento.text.tokenizer import Tokenizer, TokenizerPair

_SAMPLE_SEED = 20170612


def prepare(
    config: DataConfig, data_root: Path, output: Path, *, workers: int = 1, progress: Progress | None = None
) -> PreparedCorpus:
    """Prepare training text into a folder, or open the folder when it already holds just that.

    Same settings and text give the same bytes, whatever the number of workers. (The record also holds the times of
    files that were not changed just before: while they, the sizes and the settings stay, the text is not read again.) A
    folder of another preparation is replaced once the new one is whole; any other folder is left alone. With several
    workers, a script that calls this must guard its entry with `if __name__ == "__main__":`.

    Raises:
        DataError: a corpus cannot be read as it stands (file and line are named), no pair survives cleaning, the
            vocabulary cannot be learned, or the folder cannot be written.
        MissingExtraError: a `.zst` file is read and `zstandard` is not installed.
    """
    report_progress = progress or _silent
    if workers < 1:
        raise DataError(f"`workers` must be at least 1, but is {workers}")
    refuse_foreign_folder(output)
    # Before the text is read: what changes after this is seen the next time.
    stamps = stamp_files(config, data_root)
    already = _opened(output)
    if already is not None and known_fingerprint(output, config, stamps):
        return already
    scan = _scan(config, data_root, report_progress)
    if already is not None and already.fingerprint == scan.fingerprint:
        renew_stamps(output, scan.fingerprint, stamps)
        return already
    with partial_folder(output) as folder:
        _Preparation(config, data_root, folder, workers, report_progress, scan).run(stamps)
        put_in_place(folder, output)
    return PreparedCorpus.open(output)


def fingerprint(
    config: DataConfig, data_root: Path, progress: Progress | None = None, *, known: Path | None = None
) -> str:
    """Return what `PreparedCorpus.fingerprint` would be: a hash of all settings and of every pair they name.

    Where a folder was prepared with these settings, and its path is given as `known`, the text is read only if a file
    has another size or time than it had then.

    Raises:
        DataError: a corpus cannot be read as it stands.
    """
    stamps = stamp_files(config, data_root)
    if known is not None and (found := known_fingerprint(known, config, stamps)):
        return found
    found = _scan(config, data_root, progress or _silent).fingerprint
    if known is not None:
        renew_stamps(known, found, stamps)
    return found


@dataclass(frozen=True)
class _Scan:
    fingerprint: str
    sample: list[Pair]
    train_pairs: int


def _scan(config: DataConfig, data_root: Path, progress: Progress) -> _Scan:
    """Read every corpus once: all is checked before anything is made."""
    settings = json.dumps(config.model_dump(mode="json"), sort_keys=True)
    content = hashlib.sha256(f"{FORMAT}\0{settings}".encode())
    sample = _Reservoir(config.tokenizer.sample_lines)
    for index, corpus in enumerate((*config.train, config.validation, config.test)):
        sides = hashlib.sha256(), hashlib.sha256()
        for chunk in read_chunks(corpus, index, _languages(config), data_root) if corpus is not None else ():
            for side, text in zip(sides, (chunk.source, chunk.target), strict=True):
                side.update(text.encode("utf-8"))
            if index < len(config.train):
                sample.add(chunk)
                progress("reading", sample.seen, None)
        for side in sides:
            content.update(side.digest())
    return _Scan(content.hexdigest(), sample.pairs, sample.seen)


class _Reservoir:
    """A random sample: every pair stays with the same probability.

    Vitter 1985, "Random sampling with a reservoir", algorithm R.
    """

    def __init__(self, size: int, seed: int = _SAMPLE_SEED) -> None:
        self.pairs: list[Pair] = []
        self.seen = 0
        self._size = size
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def add(self, chunk: Chunk) -> None:
        """Offer pairs to the sample."""
        pairs = chunk.pairs
        room = min(self._size - len(self.pairs), len(pairs))
        self.pairs += pairs[:room]
        places = self._generator.integers(np.arange(self.seen + room, self.seen + len(pairs)) + 1)
        for offset in np.flatnonzero(places < self._size).tolist():
            self.pairs[places[offset]] = pairs[room + offset]
        self.seen += len(pairs)


class _Preparation:
    """One making of a folder."""

    def __init__(
        self, config: DataConfig, data_root: Path, folder: Path, workers: int, progress: Progress, scan: _Scan
    ) -> None:
        self._config, self._root, self._folder = config, data_root, folder
        self._workers, self._progress, self._scan = workers, progress, scan
        self._cleaner = Cleaner(config.cleaning, _languages(config))
        self._report = Report([CorpusCount(each.name, each.weight) for each in config.train])
        self._held_out = HeldOut(config, data_root)

    def run(self, stamps: Stamps | None) -> None:
        """Fill the folder."""
        self._tell_rules_off()
        tokenizers = self._learn_tokenizers()
        tokenizers.save(self._folder)
        self._report.vocab_sizes = (tokenizers.source.vocab_size, tokenizers.target.vocab_size)
        writers = {"train": self._write_train(tokenizers), "validation": self._write_validation(tokenizers)}
        for overlap in self._held_out.overlaps:
            self._report.add_overlap(overlap)
        self._write_records(writers, stamps)

    def _learn_tokenizers(self) -> TokenizerPair:
        self._progress("training the tokenizer", 0, 1)
        config = self._config.tokenizer
        sources, targets = self._clean_sample()
        if config.joint:
            joint = _train(config, sources + targets)
            pair = TokenizerPair(joint, joint)
        else:
            pair = TokenizerPair(_train(config, sources), _train(config, targets))
        self._progress("training the tokenizer", 1, 1)
        return pair

    def _clean_sample(self) -> tuple[list[str], list[str]]:
        """Return the clean texts of the sample, or all of it where none is clean, and let go of it."""
        sources, targets = (strip([pair[side] for pair in self._scan.sample]) for side in (0, 1))
        self._scan.sample.clear()
        rules = [
            self._cleaner.judge_texts(sources[start : start + CHUNK_LINES], targets[start : start + CHUNK_LINES])
            for start in range(0, len(sources), CHUNK_LINES)
        ]
        kept = np.flatnonzero(np.concatenate(rules) == Rule.KEPT).tolist()
        if not kept:
            return sources, targets
        return [sources[place] for place in kept], [targets[place] for place in kept]

    def _write_train(self, tokenizers: TokenizerPair) -> ShardWriter:
        seen = SeenDigests() if self._config.cleaning.drop_duplicates else None
        encoder = Encoder(tokenizers, self._cleaner, self._config.tokenizer.model)
        chunks = _train_chunks(self._config, self._root)
        # Closed at once when something goes wrong, or the workers would live as long as the traceback.
        useful_workers = min(self._workers, -(-self._scan.train_pairs // CHUNK_LINES))
        stream = closing(encode_chunks(chunks, encoder, useful_workers))
        with ShardWriter(self._folder, "train") as writer, stream as encoded_chunks:
            for chunk, encoded in encoded_chunks:
                self._write_chunk(writer, chunk, encoded, seen)
                self._progress("encoding", self._report.read, self._scan.train_pairs)
        self._report.tokens = writer.tokens
        if not writer.count:
            counts = ", ".join(f"{rule.name.lower()}: {n}" for rule, n in self._report.left_out.items() if n)
            raise DataError(
                f"no training pair is left of {self._report.read} ({counts}); see the rules in `data.cleaning`"
            )
        return writer

    def _write_chunk(self, writer: ShardWriter, chunk: Chunk, encoded: EncodedChunk, seen: SeenDigests | None) -> None:
        rules, places = encoded.rules, np.flatnonzero(encoded.rules == Rule.KEPT)
        new = np.ones(len(places), np.bool_) if seen is None else seen.add(encoded.pair_digests)
        rules[places[~new]] = Rule.DUPLICATE
        self._report.count(chunk, rules)
        self._held_out.look(chunk, places[new], encoded.source_digests[new])
        writer.append(encoded.source.keep(new), encoded.target.keep(new), chunk.corpus)

    def _write_validation(self, tokenizers: TokenizerPair) -> ShardWriter:
        pairs = self._held_out.validation
        self._report.validation_pairs = len(pairs)
        empty = [line for line, pair in enumerate(pairs, 1) if not all(text.strip() for text in pair)]
        if empty:
            self._report.warnings.append(
                f"{len(empty)} validation pairs have an empty side (the first in line {empty[0]} of "
                f"{self._config.validation.name}); they are kept"
            )
        source, target = (
            PlainTokenizer(tokenizer).encode_batch(strip([pair[side] for pair in pairs]))
            for side, tokenizer in enumerate((tokenizers.source, tokenizers.target))
        )
        with ShardWriter(self._folder, "validation") as writer:
            writer.append(source, target, corpus=0)
        for side, name in enumerate(VALIDATION_TEXTS):
            (self._folder / name).write_bytes("".join(f"{pair[side]}\n" for pair in pairs).encode("utf-8"))
        return writer

    def _write_records(self, writers: dict[str, ShardWriter], stamps: Stamps | None) -> None:
        report = self._report
        write_json(self._folder / REPORT_JSON_FILE, report.as_json())
        (self._folder / REPORT_FILE).write_text(report.as_markdown(), encoding="utf-8", newline="\n")
        record = {
            "format": FORMAT,
            "fingerprint": self._scan.fingerprint,
            "files": stamps,
            "shards": {name: writer.shards for name, writer in writers.items()},
            "longest": {name: writer.longest for name, writer in writers.items()},
            "counts": {"read": report.read, "train": report.kept, "validation": report.validation_pairs},
            "warnings": report.warnings,
            "settings": self._config.model_dump(mode="json"),
        }
        write_json(self._folder / RECORD_FILE, record)

    def _tell_rules_off(self) -> None:
        cleaning, off = self._config.cleaning, self._report.rules_off
        switched = {
            Rule.EMPTY: cleaning.drop_empty,
            Rule.CONTROL_CHARACTERS: cleaning.drop_control_characters,
            Rule.WRONG_SCRIPT: cleaning.min_script_share is not None,
            Rule.IDENTICAL: cleaning.drop_identical,
            Rule.TOO_LONG: cleaning.max_tokens is not None,
            Rule.LENGTH_RATIO: cleaning.max_ratio is not None,
            Rule.DUPLICATE: cleaning.drop_duplicates,
        }
        off.update({rule: "by its setting" for rule, is_on in switched.items() if not is_on})
        codes = (self._config.source_language, self._config.target_language)
        unknown = [code for code in codes if scripts_of_language(code) is None]
        if unknown and switched[Rule.WRONG_SCRIPT]:
            off[Rule.WRONG_SCRIPT] = f"the script of {' and '.join(f'`{code}`' for code in unknown)} is not known"
            self._report.warnings.append(
                f"the rule of the script is off for {' and '.join(f'`{c}`' for c in unknown)}:"
                " no script is known for that language"
            )


def _train_chunks(config: DataConfig, data_root: Path) -> Iterator[Chunk]:
    for index, corpus in enumerate(config.train):
        yield from read_chunks(corpus, index, _languages(config), data_root)


def _languages(config: DataConfig) -> Languages:
    return Languages(config.source_language, config.target_language)


def _train(config: TokenizerConfig, lines: list[str]) -> Tokenizer:
    return train_tokenizer(
        lines,
        model=config.model,
        vocab_size=config.vocab_size,
        byte_fallback=config.byte_fallback,
        character_coverage=config.character_coverage,
        normalization=config.normalization,
    )


def _opened(output: Path) -> PreparedCorpus | None:
    try:
        return PreparedCorpus.open(output)
    except DataError:
        return None  # not there, of another make or damaged: it is made anew


def _silent(stage: str, done: int, total: int | None) -> None:
    """Tell nobody."""

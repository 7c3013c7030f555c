"""The prepared folder: everything that training needs of its text, in ids."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attento.data.pairs.config import DataConfig
from attento.data.pairs.shards import ParallelShards, shard_paths
from attento.data.pairs.stamps import Stamps
from attento.data.record import RECORD_FILE, read_task_record, recorded_settings, write_json
from attento.errors import DataError
from attento.text.tokenizer import TokenizerPair

FORMAT = 2
REPORT_FILE = "report.md"
REPORT_JSON_FILE = "report.json"
VALIDATION_TEXTS = ("validation.source.txt", "validation.target.txt")


@dataclass(frozen=True)
class PreparedCorpus:
    """Training and validation pairs as ids, the tokenizers that made them, and the validation text itself."""

    path: Path
    config: DataConfig
    fingerprint: str
    """Equal when settings and text are equal; see `attento.data.pairs.prepare.fingerprint`."""
    warnings: tuple[str, ...]
    """What is worth knowing: overlap with held-out text, empty validation lines, a rule that could not be applied."""
    tokenizers: TokenizerPair
    train: ParallelShards
    validation: ParallelShards
    longest_train: tuple[int, int]
    """The most pieces that a source and a target have, eos and bos not counted."""
    longest_validation: tuple[int, int]

    @classmethod
    def open(cls, path: Path) -> "PreparedCorpus":
        """Open a prepared folder; ids stay on the disk.

        Raises:
            DataError: the folder is missing, incomplete, damaged or of another format.
        """
        record = read_record(path)
        config = recorded_settings(record, DataConfig, path)
        return cls(
            path=path,
            config=config,
            fingerprint=record["fingerprint"],
            warnings=tuple(record["warnings"]),
            tokenizers=TokenizerPair.load(path),
            train=ParallelShards(shard_paths(path, "train", record["shards"]["train"])),
            validation=ParallelShards(shard_paths(path, "validation", record["shards"]["validation"])),
            longest_train=tuple(record["longest"]["train"]),
            longest_validation=tuple(record["longest"]["validation"]),
        )

    def validation_texts(self) -> tuple[list[str], list[str]]:
        """Return the validation sources and targets as they stood in their files.

        Raises:
            DataError: a file of the folder is missing.
        """
        sources, targets = (self._lines(name) for name in VALIDATION_TEXTS)
        return sources, targets

    def _lines(self, name: str) -> list[str]:
        try:
            return (self.path / name).read_bytes().decode("utf-8").split("\n")[:-1]
        except OSError as problem:
            raise DataError(f"{self.path / name}: cannot be read; prepare the data again") from problem


def read_record(path: Path) -> dict[str, Any]:
    """Return what `prepared.json` says.

    Raises:
        DataError: there is none, or it is damaged or of another format.
    """
    return read_task_record(path, "translation", FORMAT)


def known_fingerprint(path: Path, config: DataConfig, stamps: Stamps | None) -> str | None:
    """Return the fingerprint of a folder that was prepared with these settings from files with these stamps."""
    record = _record_or_nothing(path)
    if stamps is None or record.get("files") != stamps or record["settings"] != config.model_dump(mode="json"):
        return None
    return str(record["fingerprint"])


def renew_stamps(path: Path, fingerprint: str, stamps: Stamps | None) -> None:
    """Record new stamps of files that hold the text that a folder was prepared from."""
    record = _record_or_nothing(path)
    if record.get("fingerprint") == fingerprint:
        writing = path / f".{RECORD_FILE}.{os.getpid()}"
        # What cannot be written now only means that the text is read again next time.
        with suppress(OSError):
            write_json(writing, record | {"files": stamps})
            writing.replace(path / RECORD_FILE)


def _record_or_nothing(path: Path) -> dict[str, Any]:
    try:
        return read_record(path)
    except DataError:
        return {}

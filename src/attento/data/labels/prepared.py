"""The prepared folder of a classifier: everything that training needs of its examples, in ids."""

from dataclasses import dataclass
from pathlib import Path

from attento.data.labels.config import LabelDataConfig
from attento.data.labels.examples import Examples
from attento.data.record import TOKENIZER_FILE, read_task_record, recorded_settings
from attento.text.tokenizer import Tokenizer, load_tokenizer

TASK = "classification"
FORMAT = 1


@dataclass(frozen=True, eq=False)
class PreparedLabels:
    """Training and validation examples as ids, the labels, and the tokenizer."""

    path: Path
    config: LabelDataConfig
    fingerprint: str
    """Equal when settings and text are equal; see `attento.data.labels.prepare.labels_fingerprint`."""
    warnings: tuple[str, ...]
    """What is worth knowing: overlap with held-out text."""
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    """The names of the labels, sorted; the place of a label here is its number."""
    num_sentences: int
    """How many sentences stand in one example: 1, or 2 for a pair."""
    train: Examples
    validation: Examples

    @classmethod
    def open(cls, path: Path) -> "PreparedLabels":
        """Open a prepared folder; ids stay on the disk.

        Raises:
            DataError: the folder is missing, incomplete, damaged, or of another task or format.
        """
        record = read_task_record(path, TASK, FORMAT)
        config = recorded_settings(record, LabelDataConfig, path)
        return cls(
            path=path,
            config=config,
            fingerprint=record["fingerprint"],
            warnings=tuple(record["warnings"]),
            tokenizer=load_tokenizer(path / TOKENIZER_FILE),
            labels=tuple(record["labels"]),
            num_sentences=config.num_sentences,
            train=Examples.open(path, "train"),
            validation=Examples.open(path, "validation"),
        )

"""The prepared folder of running text: everything that training needs of it, in ids."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attento.data.record import TOKENIZER_FILE, open_array, read_task_record, recorded_settings
from attento.data.stream.config import StreamDataConfig, TextDataConfig
from attento.text.tokenizer import Tokenizer, load_tokenizer

FORMAT = 1
TRAIN_FILE = "train.npy"
VALIDATION_FILE = "validation.npy"


@dataclass(frozen=True, eq=False)
class PreparedStream:
    """Training and validation text as ids, each beginning with bos, and the tokenizer that made them."""

    path: Path
    config: StreamDataConfig
    fingerprint: str
    """Equal when settings and text are equal; see `attento.data.stream.prepare.stream_fingerprint`."""
    warnings: tuple[str, ...]
    """What is worth knowing: overlap with held-out text, characters that the vocabulary lacks."""
    tokenizer: Tokenizer
    train: NDArray[np.int32]
    validation: NDArray[np.int32]
    validation_characters: int
    """The characters that the validation ids stand for."""
    validation_bytes: int
    """The same in UTF-8."""

    @classmethod
    def open(cls, path: Path, kind: type[StreamDataConfig] = TextDataConfig) -> "PreparedStream":
        """Open a folder that was prepared with settings of some kind; ids stay on the disk.

        Raises:
            DataError: the folder is missing, incomplete, damaged, or of another task or format.
        """
        record = read_task_record(path, kind.model_fields["task"].default, FORMAT)
        config = recorded_settings(record, kind, path)
        return cls(
            path=path,
            config=config,
            fingerprint=record["fingerprint"],
            warnings=tuple(record["warnings"]),
            tokenizer=load_tokenizer(path / TOKENIZER_FILE),
            train=open_array(path / TRAIN_FILE, np.int32),
            validation=open_array(path / VALIDATION_FILE, np.int32),
            validation_characters=record["validation"]["characters"],
            validation_bytes=record["validation"]["bytes"],
        )

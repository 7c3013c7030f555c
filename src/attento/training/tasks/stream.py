"""What all kinds of work on running text have in common: the text and its tokenizer."""

from pathlib import Path
from typing import ClassVar

from attento.data.stream.config import StreamDataConfig
from attento.data.stream.prepare import prepare_stream, stream_fingerprint
from attento.data.stream.prepared import PreparedStream
from attento.run_folder import RunFolder
from attento.text.tokenizer import save_joint
from attento.training.config import RecipeConfig
from attento.training.records.card import Card
from attento.training.tasks.base import Task, Tell


class StreamTask(Task[PreparedStream]):
    """Work on one running text."""

    settings: ClassVar[type[StreamDataConfig]]
    """What a recipe of this work has as `data`."""

    @staticmethod
    def prepare(config: RecipeConfig, data_root: Path, output: Path, *, workers: int, tell: Tell) -> PreparedStream:
        """Prepare the text into a folder, or open the folder when it already holds just that.

        Raises:
            DataError: the text cannot be prepared.
        """
        return prepare_stream(_data(config), data_root, output, progress=tell)

    @classmethod
    def open(cls, path: Path) -> PreparedStream:
        """Open a prepared folder.

        Raises:
            DataError: it is not there, or cannot be used.
        """
        return PreparedStream.open(path, cls.settings)

    @staticmethod
    def fingerprint(config: RecipeConfig, data_root: Path, prepared: Path, tell: Tell) -> str:
        """Return the fingerprint that the text has now.

        Raises:
            DataError: the text cannot be read.
        """
        return stream_fingerprint(_data(config), data_root)

    def save_text_side(self, folder: RunFolder) -> None:
        """Write the tokenizer.

        Raises:
            OSError: it cannot be written.
        """
        save_joint(self.corpus.tokenizer, folder.path)

    @property
    def size(self) -> str:
        """How many tokens there are."""
        return f"{len(self.corpus.train) - 1:,} training tokens, {len(self.corpus.validation) - 1:,} for validation"

    def describe(self, kind: str, usage: str, unit: str = "target token") -> Card:
        """Return what the run folder's README says, given what differs between kinds of work."""
        data = _data(self.config)
        return Card(
            title=f"{data.language}, {self.config.model.architecture}",
            kind=kind,
            usage=usage,
            validation=data.validation.name,
            corpora=tuple(f"`{corpus.name}`" for corpus in data.train),
            unit=unit,
        )


def _data(config: RecipeConfig) -> StreamDataConfig:
    assert isinstance(config.data, StreamDataConfig)
    return config.data

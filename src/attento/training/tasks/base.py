"""What training asks of a kind of work: its text, its model, its batches, its loss, its judgement."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from torch import nn

from attento.config import Settings
from attento.data.batches import BatchStream, TrainingBatch
from attento.errors import ConfigError, DataError
from attento.run_folder import RunFolder
from attento.training.config import RecipeConfig
from attento.training.records.card import Card
from attento.training.update.objective import Objective
from attento.training.validation import Validator

Tell = Callable[[str, int, int | None], None]
"""Called with a stage of preparing, how much of it is done, and how much there is (None while unknown)."""


@runtime_checkable
class Corpus(Protocol):
    """Text that is ready to train on."""

    @property
    def path(self) -> Path:
        """The prepared folder."""
        ...

    @property
    def config(self) -> Settings:
        """The settings that it was prepared with: a recipe's `data`."""
        ...

    @property
    def fingerprint(self) -> str:
        """Equal when settings and text are equal."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is worth knowing about the text."""
        ...


CorpusT = TypeVar("CorpusT", bound=Corpus)


class Task(ABC, Generic[CorpusT]):
    """One kind of work, by one recipe, on one prepared text."""

    def __init__(self, config: RecipeConfig, corpus: CorpusT) -> None:
        """Take a recipe of this task and the text that `prepare` or `open` returned."""
        self.config = config
        self.corpus = corpus

    @staticmethod
    @abstractmethod
    def prepare(config: RecipeConfig, data_root: Path, output: Path, *, workers: int, tell: Tell) -> CorpusT:
        """Prepare the text into a folder, or open the folder when it already holds just that.

        Raises:
            DataError: the text cannot be prepared.
        """

    @staticmethod
    @abstractmethod
    def open(path: Path) -> CorpusT:
        """Open a prepared folder.

        Raises:
            DataError: it is not there, or cannot be used.
        """

    @staticmethod
    @abstractmethod
    def fingerprint(config: RecipeConfig, data_root: Path, prepared: Path, tell: Tell) -> str:
        """Return the fingerprint that the text has now; `prepared` holds what was prepared with these settings.

        Raises:
            DataError: the text cannot be read.
        """

    @classmethod
    def is_prepared(cls, config: RecipeConfig, data_root: Path, prepared: Path) -> bool:
        """Tell whether a folder holds the text as it is now, by these settings."""
        try:
            there = cls.open(prepared)
        except DataError:
            return False
        return there.config == config.data and there.fingerprint == cls.fingerprint(
            config, data_root, prepared, lambda stage, done, total: None
        )

    @abstractmethod
    def build_model(self) -> nn.Module:
        """Make the model with freshly drawn weights.

        Raises:
            ConfigError: settings do not fit the text.
        """

    @abstractmethod
    def batches(self) -> BatchStream:
        """Return the batches to train on."""

    @abstractmethod
    def objective(self, model: nn.Module) -> Objective[Any, Any]:
        """Return what a step minimizes."""

    @abstractmethod
    def validator(self) -> Validator:
        """Return what judges the model.

        Raises:
            InputError: the judgement asked for cannot be made with this text.
        """

    @abstractmethod
    def longest_batch(self, rows: int) -> TrainingBatch:
        """Make a batch of so many of the longest examples."""

    @abstractmethod
    def save_text_side(self, folder: RunFolder) -> None:
        """Write what leads from text to ids and back into a run folder.

        Raises:
            OSError: it cannot be written.
        """

    @property
    @abstractmethod
    def size(self) -> str:
        """How much text there is, in words."""

    @property
    @abstractmethod
    def card(self) -> Card:
        """What the run folder's README says of this kind of work."""

    def warnings(self) -> Iterator[str]:
        """Yield what works but is hardly meant."""
        yield from ()

    @property
    def tokens_per_step(self) -> int:
        """The setting, which is a number by now."""
        tokens = self.config.training.tokens_per_step
        assert tokens != "auto"
        return tokens


def check_length(tokens: int, limit: int | None, what: str, mend: str) -> None:
    """Refuse an example that is longer than the model takes.

    Raises:
        ConfigError: it is.
    """
    if limit is not None and tokens > limit:
        raise ConfigError(
            f"{what} has {tokens} tokens, but the model reads at most {limit}; raise `model.max_positions` or {mend}"
        )

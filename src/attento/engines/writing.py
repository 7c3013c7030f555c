"""Continues text with whatever can compute a language model: torch, or a packed model without it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from attento.decoding.config import SamplingConfig
from attento.engines.choose import EngineChoice
from attento.engines.packed.inside import read_inside
from attento.engines.prompts import Row, Writer
from attento.engines.task import expect_task
from attento.errors import MissingExtraError
from attento.text.tokenizer import Tokenizer, TokenizerPair


@runtime_checkable
class _Engine(Protocol):
    """The part of `Writer` that knows no text."""

    @property
    def max_length(self) -> int | None: ...

    def write(self, rows: Sequence[Row], max_tokens: int, sampling: SamplingConfig | None) -> list[tuple[int, ...]]: ...


class PackedWriter(Writer):
    """Continues text with a packed language model.

    Args:
        engine: the native or the reference engine, around it.
        tokenizer: the one that the model was trained with.
    """

    def __init__(self, engine: _Engine, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer)
        self.engine = engine

    @classmethod
    def load(cls, path: Path, engine: Literal["native", "reference"]) -> "PackedWriter":
        """Load a packed model file.

        Raises:
            RunFolderError: it is missing, damaged, or holds no language model.
            ConfigError: its settings cannot be read.
            DataError: its tokenizer is damaged.
            MissingExtraError: what the engine or the tokenizer needs is not installed.
        """
        expect_task(path, "language_modeling")
        tokenizer = TokenizerPair.parse(read_inside(path), path).source
        if engine == "native":
            from attento.engines.native import NativeEngine

            return cls(NativeEngine.load(path), tokenizer)
        from attento.engines.reference.engine import ReferenceEngine

        return cls(ReferenceEngine.load(path), tokenizer)

    @property
    def max_length(self) -> int | None:
        """The most tokens that the model can read, bos among them; None where there is no limit."""
        return self.engine.max_length

    def write(self, rows: Sequence[Row], max_tokens: int, sampling: SamplingConfig | None) -> list[tuple[int, ...]]:
        """Return for every row, in order, the `max_tokens` tokens that follow its prompt.

        Raises:
            RunFolderError: the model's scores are not numbers.
        """
        return self.engine.write(rows, max_tokens, sampling)


def load_writer(choice: EngineChoice, device: str | None = None) -> Writer:
    """Load a language model with the engine that `engines.choose` has chosen for it.

    Args:
        choice: the engine and the model.
        device: as torch names it, or None for the best there is; for torch alone.

    Raises:
        RunFolderError: there is no finished language model, or its parts are damaged or do not fit together.
        ConfigError: the settings of the run are wrong, or the device cannot be used.
        DataError: the tokenizer is missing or damaged.
        MissingExtraError: what the engine needs is not installed.
    """
    if choice.engine == "native" or choice.engine == "reference":
        return PackedWriter.load(choice.model, choice.engine)
    try:
        from attento.engines.language import LanguageEngine
    except ModuleNotFoundError as problem:
        raise MissingExtraError(problem.name or "torch", "train") from problem
    return LanguageEngine.load(choice.model, device)

"""The settings of what is trained on running text, whatever is to be learned from it. Opens no file."""

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from attento.config import Settings


class TextCorpusConfig(Settings):
    """A file of text, or a part of one, so that what trains and what validates can stand in one file.

    The path stands relative to the data folder; the file may be compressed: `.gz`, `.xz`, `.zst`. `start` and `stop`
    are shares of the file's characters. Of n characters, the part begins with number floor(start * n), counted from 0,
    and ends before number floor(stop * n): a part that stops at 0.9 and one that starts there share nothing and leave
    nothing out.
    """

    text: str
    start: float = Field(default=0.0, ge=0, lt=1)
    stop: float = Field(default=1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _goes_forward(self) -> "TextCorpusConfig":
        if self.start >= self.stop:
            raise ValueError(f"`start` must be less than `stop`, but they are {self.start} and {self.stop}")
        return self

    @property
    def name(self) -> str:
        """What messages call this text."""
        whole = (self.start, self.stop) == (0, 1)
        return self.text if whole else f"{self.text} from {self.start:g} to {self.stop:g}"

    def overlaps(self, other: "TextCorpusConfig") -> bool:
        """Return whether some characters belong to both."""
        return self.text == other.text and max(self.start, other.start) < min(self.stop, other.stop)


class StreamTokenizerConfig(Settings):
    """How the vocabulary is learned. The text is kept exactly, white space and line ends too."""

    model: Literal["char", "bpe", "unigram"] = "char"
    vocab_size: int | None = Field(default=None, gt=4)
    """The number of pieces; of `char`, the greatest number, and `null` takes every character of the training text."""
    byte_fallback: bool = False
    """Spell characters that the training text lacks as bytes, and not as <unk>. Takes 256 entries."""

    @model_validator(mode="after")
    def _has_a_size(self) -> "StreamTokenizerConfig":
        if self.model != "char" and self.vocab_size is None:
            raise ValueError(f"the model `{self.model}` needs a `vocab_size`")
        return self


class StreamDataConfig(Settings):
    """What is trained on running text, and what it is validated with."""

    task: str
    language: str = Field(min_length=2)
    train: tuple[TextCorpusConfig, ...] = Field(min_length=1)
    """Texts that follow each other as one."""
    validation: TextCorpusConfig
    test: TextCorpusConfig | None = None
    """Never trained on; named so that its overlap with the training text is looked for."""
    tokenizer: StreamTokenizerConfig = StreamTokenizerConfig()
    context: PositiveInt = 256
    """How many tokens of the text stand in one window."""

    @property
    def special_pieces(self) -> tuple[str, ...]:
        """The pieces that the vocabulary must hold and that no text spells."""
        return ()


class TextDataConfig(StreamDataConfig):
    """What a language model is trained on, and what it is validated with."""

    task: Literal["language_modeling"] = "language_modeling"

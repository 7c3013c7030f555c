"""The settings of what a classifier is trained on. Opens no file."""

from typing import Literal

from pydantic import Field, model_validator

from attento.config import Settings


class LabelColumns(Settings):
    """Which columns of a tab-separated file, named in its first line, hold what."""

    label: str
    text: str
    second: str | None = None
    """The second sentence, where examples are pairs."""


class LabelledCorpusConfig(Settings):
    """A file of labelled sentences, one example a line.

    With `columns`, the file is tab-separated and its first line names the columns. Without, a line is the label, one
    space and the sentence. The path stands relative to the data folder; the file may be compressed: `.gz`, `.xz`,
    `.zst`.
    """

    file: str
    columns: LabelColumns | None = None

    @property
    def name(self) -> str:
        """What messages and the report call this corpus."""
        return self.file

    @property
    def num_sentences(self) -> int:
        """How many sentences stand in one example: 1, or 2 for a pair."""
        return 2 if self.columns is not None and self.columns.second is not None else 1


class LabelTokenizerConfig(Settings):
    """How the vocabulary is learned."""

    model: Literal["word", "bpe", "unigram"] = "word"
    vocab_size: int | None = Field(default=None, gt=4)
    """The number of pieces; of `word`, the greatest number, and `null` takes every word of the training text."""
    lowercase: bool = True

    @model_validator(mode="after")
    def _has_a_size(self) -> "LabelTokenizerConfig":
        if self.model != "word" and self.vocab_size is None:
            raise ValueError(f"the model `{self.model}` needs a `vocab_size`")
        return self


class LabelDataConfig(Settings):
    """What a classifier is trained on, and what it is validated with."""

    task: Literal["classification"] = "classification"
    language: str = Field(min_length=2)
    train: tuple[LabelledCorpusConfig, ...] = Field(min_length=1)
    validation: LabelledCorpusConfig | None = None
    """`null` holds out a part of the training examples instead."""
    validation_share: float = Field(default=0.1, gt=0, lt=1)
    """The share of the training examples that is held out where there is no `validation`: always the same draw."""
    test: LabelledCorpusConfig | None = None
    """Never trained on; named so that its overlap with the training text is looked for."""
    tokenizer: LabelTokenizerConfig = LabelTokenizerConfig()

    @model_validator(mode="after")
    def _of_one_kind(self) -> "LabelDataConfig":
        held_out = [corpus for corpus in (self.validation, self.test) if corpus is not None]
        if len({corpus.num_sentences for corpus in (*self.train, *held_out)}) > 1:
            raise ValueError(
                "all files must hold single sentences or all pairs; name the column `second` of every pair"
            )
        return self

    @property
    def num_sentences(self) -> int:
        """How many sentences stand in one example: 1, or 2 for a pair."""
        return self.train[0].num_sentences

"""The settings of what is trained on: corpora, tokenizer, cleaning. Opens no file."""

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, model_validator

from attento.config import Settings
from attento.text.learning import Normalization, SubwordModel

COMPRESSED_SUFFIXES = (".gz", ".xz", ".zst")
PAIR_SUFFIXES = (".tsv", ".jsonl")


class CorpusConfig(Settings):
    """One source of parallel text: two line-aligned files, or one file of pairs.

    Paths stand relative to the data folder. A `.tsv` line is source, one tab, target. A `.jsonl` line is an object with
    the keys "source" and "target", or with the two language codes. All may be compressed: `.gz`, `.xz`, `.zst`.
    """

    source: str | None = None
    target: str | None = None
    pairs: str | None = None
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """How often pairs of this corpus are seen in training, beside those of the others."""

    @model_validator(mode="after")
    def _one_form(self) -> "CorpusConfig":
        aligned = self.source is not None and self.target is not None and self.pairs is None
        alone = self.pairs is not None and self.source is None and self.target is None
        if not aligned and not alone:
            raise ValueError("a corpus needs either `source` and `target` (aligned files) or `pairs` (.tsv or .jsonl)")
        if self.pairs is not None and self.pairs_format not in PAIR_SUFFIXES:
            raise ValueError(f"`pairs` must end in {' or '.join(PAIR_SUFFIXES)} (and .gz, .xz or .zst): {self.pairs!r}")
        return self

    @property
    def pairs_format(self) -> str:
        """The suffix of `pairs` without that of its compression."""
        path = PurePosixPath(self.pairs or "")
        return PurePosixPath(path.stem).suffix if path.suffix in COMPRESSED_SUFFIXES else path.suffix

    @property
    def name(self) -> str:
        """What messages and the report call this corpus."""
        return self.pairs if self.pairs is not None else f"{self.source} | {self.target}"


class TokenizerConfig(Settings):
    """How the vocabulary is learned."""

    model: SubwordModel = "bpe"
    vocab_size: int = Field(default=16_000, gt=4)
    joint: bool = True
    """One vocabulary for both languages, so that one matrix can serve both."""
    byte_fallback: bool = True
    """Spell characters outside the vocabulary as bytes, so that no text is lost. Takes 256 entries."""
    character_coverage: float = Field(default=1.0, gt=0.9, le=1)
    """The share of all characters that get an entry; 0.9995 for Chinese or Japanese keeps rare ones out."""
    sample_lines: int = Field(default=1_000_000, gt=0)
    """At most this many pairs, drawn at random, are learned from."""
    normalization: Normalization = "nmt_nfkc"


class CleaningConfig(Settings):
    """Which training pairs are left out. `false` (or `null`, for a number) switches a rule off.

    Lengths are counted in pieces of the tokenizer, so that a Chinese side and an English one can be compared. A plain
    ratio would throw out good short pairs ("Danke!" against "Thank you very much!"), so that the longer side may have
    `max_ratio` times the pieces of the shorter one *plus* `ratio_slack`.
    """

    drop_empty: bool = True
    drop_control_characters: bool = True
    """Characters that are no text (U+0000 to U+001F, U+007F to U+009F but for white space) and U+FFFD, the trace of a
    broken conversion."""
    min_script_share: Annotated[float, Field(gt=0, le=1)] | None = 0.2
    """The least share of a line's letters that must be of its language's script. Low, as names keep theirs."""
    drop_identical: bool = True
    max_tokens: Annotated[int, Field(gt=0)] | None = 256
    max_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = 3.0
    ratio_slack: int = Field(default=8, ge=0)
    drop_duplicates: bool = True


class DataConfig(Settings):
    """What is trained on, and what it is validated with."""

    task: Literal["translation"] = "translation"
    source_language: str = Field(min_length=2)
    target_language: str = Field(min_length=2)
    train: tuple[CorpusConfig, ...] = Field(min_length=1)
    validation: CorpusConfig
    test: CorpusConfig | None = None
    """Never trained on nor translated here; named so that its overlap with the training text is looked for."""
    tokenizer: TokenizerConfig = TokenizerConfig()
    cleaning: CleaningConfig = CleaningConfig()

"""Raw text in, raw text out: cuts text into sentences, lets an engine translate them, puts everything back in place.

Knows no architecture, no HTTP and no argv.
"""

import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from math import fsum
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, TypeVar

from attento.decoding.config import SearchConfig
from attento.decoding.hypothesis import Hypothesis
from attento.engines.base import Engine
from attento.engines.choose import EngineChoice, EngineName, choose_engine
from attento.engines.packed.inside import read_inside
from attento.engines.task import check_task, kind_of, read_run_settings
from attento.errors import InputError, MissingExtraError
from attento.plain_settings import PlainSettings, read_settings
from attento.text.sentences import Segment, split_long, split_sentences
from attento.text.tokenizer import TokenizerPair

_T = TypeVar("_T")

_REPEATS_ALLOWED = 3


class Flag(StrEnum):
    """What a reader should know about a translation before trusting it."""

    EMPTY = "empty"
    """A sentence has no translation at all."""
    REPETITIVE = "repetitive"
    """The same words stand four times or more in a row, and did not in the source."""
    LENGTH_CAP = "length cap reached"
    """A translation was still going on when it reached the greatest length the search allows."""
    SPLIT = "over-long sentence cut"
    """A sentence was longer than the model can read and was translated in parts."""


@dataclass(frozen=True)
class Alternative:
    """Another translation of the whole text, with a score as in `Translation`."""

    text: str
    score: float


@dataclass(frozen=True)
class Translation:
    """The translation of one text.

    Attributes:
        source: the text that was given.
        text: its best translation.
        score: the mean over the text's sentences of their search scores (log-probability after length penalty), so that
            for a single sentence it is the score the search ranked it by; 0 where nothing needed translation.
        alternatives: the next best translations, best first, all different: where the text has several sentences, the
            one of rank i joins the translations of rank i, or the last there is, of each sentence.
        flags: what should be known about `text`, empty when all is well.
    """

    source: str
    text: str
    score: float
    alternatives: tuple[Alternative, ...] = ()
    flags: tuple[Flag, ...] = ()


class Translator:
    """Translates raw text with one engine.

    Args:
        tokenizers: those the engine's model was trained with.
        engine: what turns source ids into hypotheses.
        search: how to search where a call does not say otherwise.
        max_piece_tokens: the most source tokens that a sentence may have before it is cut: the longest the model has
            met in training, usually; None for no limit but the engine's own.
        target_language: code of the language that comes out, where it is known.
    """

    def __init__(
        self,
        tokenizers: TokenizerPair,
        engine: Engine,
        search: SearchConfig,
        *,
        max_piece_tokens: int | None = None,
        target_language: str | None = None,
    ) -> None:
        self.tokenizers = tokenizers
        self.engine = engine
        self.search = search
        self.max_piece_tokens = max_piece_tokens
        self.target_language = target_language

    @classmethod
    def load(cls, path: str | Path, *, device: str | None = None, engine: EngineName = "auto") -> "Translator":
        """Load the model of a run folder, or a packed model.

        Args:
            path: the run folder, or the packed file that `attento export --format native` makes of it.
            device: as torch names it, or None for the best there is; a packed model is computed on the CPU.
            engine: what computes; see `engines.choose`. A warning tells where `auto` has found but a slow one.

        Raises:
            RunFolderError: there is no finished model, or its parts are damaged or do not fit together.
            DataError: the tokenizer is missing or damaged.
            ConfigError: the settings of the run are wrong, or the engine cannot be used with this model or device.
            MissingExtraError: what the engine needs is not installed.
        """
        choice = choose_engine(Path(path), engine, device)
        if choice.note is not None:
            warnings.warn(choice.note, stacklevel=2)
        config, tree = read_run_settings(choice.model)
        check_task(choice.model, kind_of(config, tree), "translation")
        settings = read_settings(_RunSettings, tree, origin=str(config))
        loaded = _load_engine(choice, device)
        if choice.engine == "torch":
            tokenizers = TokenizerPair.load(choice.model)
        else:
            tokenizers = TokenizerPair.parse(read_inside(choice.model), choice.model)
        return cls(
            tokenizers,
            loaded,
            settings.search,
            max_piece_tokens=settings.data.cleaning.max_tokens,
            target_language=settings.data.target_language,
        )

    def translate(
        self,
        texts: Sequence[str],
        *,
        search: SearchConfig | None = None,
        split_sentences: bool = True,
        prefixes: Sequence[str] | None = None,
    ) -> list[Translation]:
        r"""Translate texts of any length: one translation for each, in order, with its lines and blank lines kept.

        Args:
            texts: raw text. Lines end at "\n" only; each is translated by itself.
            search: how to search, in place of the translator's own way.
            split_sentences: translate sentence by sentence, as most models were trained; otherwise line by line, cut
                only where the engine can read no more.
            prefixes: for each text how its translations begin: a few words of the target language, or "" for any; only
                for texts that are translated in one piece. A blank text stays blank.

        Raises:
            InputError: `texts` is a single string, one of the texts or prefixes is not Unicode text, there are not as
                many prefixes as texts, or a prefix cannot begin the translation of its text.
        """
        _check_texts(texts)
        layouts = [list(self._lay_out(text, split_sentences)) for text in texts]
        if prefixes is not None:
            layouts = self._with_prefixes(layouts, prefixes)
        # Equal sentences with equal beginnings have equal translations: each is translated once.
        asked = list(dict.fromkeys(item.asked for layout in layouts for item in layout if isinstance(item, _Piece)))
        beginnings = None if prefixes is None else [prefix for _, prefix in asked]
        found = self.engine.translate([ids for ids, _ in asked], search or self.search, beginnings)
        translations = {each: self._finish(each[0], best) for each, best in zip(asked, found, strict=True)}
        return [_put_together(text, layout, translations) for text, layout in zip(texts, layouts, strict=True)]

    def _lay_out(self, text: str, by_sentence: bool) -> Iterator["_Item"]:
        limit = self._max_tokens(by_sentence)
        for number, line in enumerate(text.split("\n")):
            if number:
                yield "\n"
            for segment in split_sentences(line) if by_sentence else [Segment(line, "")]:
                yield from self._pieces(segment.text, limit)
                if segment.separator:
                    yield segment.separator

    def _pieces(self, sentence: str, limit: int | None) -> Iterator["_Item"]:
        def fits(text: str) -> bool:
            return limit is None or len(self.tokenizers.source.encode(text.strip())) <= limit

        parts = [sentence] if fits(sentence) else split_long(sentence, fits)
        for part in parts:
            core = part.strip()
            ids = tuple(self.tokenizers.source.encode(core)) if core else ()
            if not ids:
                if part:
                    yield part
                continue
            before, _, after = part.partition(core)
            if before:
                yield before
            yield _Piece(core, ids, cut=len(parts) > 1)
            if after:
                yield after

    def _with_prefixes(self, layouts: list[list["_Item"]], prefixes: Sequence[str]) -> list[list["_Item"]]:
        """Give the piece of each text the pieces that its translation begins with."""
        if isinstance(prefixes, str) or len(prefixes) != len(layouts):
            raise InputError(f"`prefixes` must be a list of one beginning for each of the {len(layouts)} texts")
        for number, (layout, prefix) in enumerate(zip(layouts, prefixes, strict=True), start=1):
            pieces = sum(isinstance(item, _Piece) for item in layout)
            if "\n" in prefix:
                raise InputError(
                    f"prefix {number} has a line break; a translation is one line, and so is its beginning"
                )
            if prefix.strip() and pieces > 1:
                raise InputError(
                    f"text {number} is translated in {pieces} pieces, so that its translation has no one beginning; "
                    "give one sentence at a time, or translate each line in one piece (`split_sentences=False`, "
                    "`--whole-lines`)"
                )
        ids = [tuple(self.tokenizers.target.encode(prefix.strip())) for prefix in prefixes]
        return [
            [replace(item, prefix=each) if isinstance(item, _Piece) else item for item in layout]
            for layout, each in zip(layouts, ids, strict=True)
        ]

    def _max_tokens(self, by_sentence: bool) -> int | None:
        # The engine ends every source with one more token.
        engine_limit = None if self.engine.max_source_length is None else self.engine.max_source_length - 1
        limits = [engine_limit, self.max_piece_tokens if by_sentence else None]
        return min((limit for limit in limits if limit is not None), default=None)

    def _finish(self, source: Sequence[int], hypotheses: Sequence[Hypothesis]) -> "_PieceTranslation":
        # A model may write "\n", but only the source's own line ends shall end lines.
        texts = tuple(self.tokenizers.target.decode(h.ids).replace("\n", " ") for h in hypotheses)
        best = hypotheses[0]
        flags = set()
        if not texts[0].strip():
            flags.add(Flag.EMPTY)
        if _is_repetitive(best.ids) and not _is_repetitive(source):
            flags.add(Flag.REPETITIVE)
        if not best.finished:
            flags.add(Flag.LENGTH_CAP)
        return _PieceTranslation(texts, tuple(h.score for h in hypotheses), frozenset(flags))


@dataclass(frozen=True)
class _Piece:
    """A stretch of a text that is translated by itself."""

    text: str
    ids: tuple[int, ...]
    cut: bool
    prefix: tuple[int, ...] = ()

    @property
    def asked(self) -> "_Asked":
        """What the engine is asked for: the source, and how its translation begins."""
        return self.ids, self.prefix


# A text is laid out as pieces to translate and strings to keep as they are; joined, they are the text again.
_Item: TypeAlias = _Piece | str
_Asked: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class _PieceTranslation:
    """The n best translations of a piece, and what is to be said about the first."""

    texts: tuple[str, ...]
    scores: tuple[float, ...]
    flags: frozenset[Flag]


_Translations: TypeAlias = Mapping[_Asked, _PieceTranslation]


@dataclass(frozen=True)
class _PartOfSettings(PlainSettings):
    # The rest of a run's settings is others' to check.
    __pydantic_config__: ClassVar[Any] = {"extra": "ignore"}


@dataclass(frozen=True)
class _CleaningSettings(_PartOfSettings):
    max_tokens: int | None = None


@dataclass(frozen=True)
class _DataSettings(_PartOfSettings):
    # An imported run need not know them.
    target_language: str | None = None
    cleaning: _CleaningSettings = _CleaningSettings()


@dataclass(frozen=True)
class _RunSettings(_PartOfSettings):
    data: _DataSettings
    search: SearchConfig


def _load_engine(choice: EngineChoice, device: str | None) -> Engine:
    if choice.engine == "native":
        from attento.engines.native import NativeEngine

        return NativeEngine.load(choice.model)
    if choice.engine == "reference":
        from attento.engines.reference.engine import ReferenceEngine

        return ReferenceEngine.load(choice.model)
    try:
        from attento.engines.torch import TorchEngine
    except ModuleNotFoundError as problem:
        raise MissingExtraError(problem.name or "torch", "train") from problem
    return TorchEngine.load(choice.model, device)


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise InputError("translate takes a list of texts; put a single text into brackets: translate([text])")
    for number, text in enumerate(texts, start=1):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as problem:
            raise InputError(
                f"text {number} is not Unicode text: half a character (U+{ord(text[problem.start]):04X}) at "
                f"position {problem.start + 1}; decode it from its bytes again"
            ) from problem


def _put_together(source: str, layout: Sequence[_Item], translations: _Translations) -> Translation:
    pieces = [item for item in layout if isinstance(item, _Piece)]
    found = [translations[piece.asked] for piece in pieces]
    ranks = range(max((len(each.texts) for each in found), default=1))
    candidates = [
        Alternative(
            text=_join(layout, translations, rank),
            score=fsum(_at_rank(each.scores, rank) for each in found) / max(1, len(found)),
        )
        for rank in ranks
    ]
    best = candidates[0]
    others: dict[str, Alternative] = {}
    for candidate in candidates:
        if candidate.text != best.text:
            others.setdefault(candidate.text, candidate)
    raised = frozenset[Flag]().union(*(each.flags for each in found))
    if any(piece.cut for piece in pieces):
        raised |= {Flag.SPLIT}
    return Translation(
        source, best.text, best.score, tuple(others.values()), tuple(flag for flag in Flag if flag in raised)
    )


def _join(layout: Sequence[_Item], translations: _Translations, rank: int) -> str:
    joined = []
    for item, following in pairwise([*layout, ""]):
        if isinstance(item, str):
            joined.append(item)
            continue
        text = _at_rank(translations[item.asked].texts, rank)
        joined.append(text)
        # A wide stop holds the room after it in itself; where its translation ends narrow, the space must be written.
        if isinstance(following, _Piece) and _ends_wide(item.text) and text and not _ends_wide(text):
            joined.append(" ")
    return "".join(joined)


def _ends_wide(text: str) -> bool:
    return text != "" and unicodedata.east_asian_width(text[-1]) in ("W", "F")


def _at_rank(values: Sequence[_T], rank: int) -> _T:
    return values[min(rank, len(values) - 1)]


def _is_repetitive(ids: Sequence[int]) -> bool:
    """Tell whether any n-gram stands more than `_REPEATS_ALLOWED` times in a row."""
    for n in range(1, len(ids) // (_REPEATS_ALLOWED + 1) + 1):
        run = 0
        for earlier, later in zip(ids, ids[n:], strict=False):
            run = run + 1 if earlier == later else 0
            if run == _REPEATS_ALLOWED * n:
                return True
    return False

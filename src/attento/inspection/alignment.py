"""Which source word each word of a translation comes from, read off the attention to the source.

All heads of all layers that look at the source are taken, and their mean, unless some are named: which layer and head
align best differs from model to model, and the mean comes near the best of them in each (docs/inside.md has the
numbers). The last layer but one alone, which Garg et al. 2019 (arXiv:1909.02074, section 4) found best in six layers,
is worse in the small models here. The weights are those of the step that writes a word. Tokens are joined to
white-space words, marks and punctuation are left out, and each word of the translation is linked to the source word of
most weight. It is no more than a reading of attention: no model here was trained to align. Needs torch only where the
engine does.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from attento.engines.choose import EngineName
from attento.errors import ConfigError, InputError
from attento.inspection.tokens import Line, read_text
from attento.text.special import EOS_ID
from attento.translator import Translator

Heads: TypeAlias = Sequence[tuple[int, int | None]]
"""Layers and their heads, both counted from 0; None stands for all heads of the layer."""
_Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class AlignmentView:
    """An alignment of words.

    Attributes:
        source: the source's words.
        target: the translation's words.
        weights: how much each word of the translation (rows) looks at each source word; rows sum to 1.
        pairs: the links: source word, word of the translation, both counted from 0.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    weights: _Matrix
    pairs: tuple[tuple[int, int], ...]

    @property
    def pharaoh(self) -> str:
        """The links as text, "0-0 1-2"."""
        return pharaoh(self.pairs)


def pharaoh(pairs: Sequence[tuple[int, int]]) -> str:
    """Return links as text, "0-0 1-2": the format of the Pharaoh decoder (Koehn 2004)."""
    return " ".join(f"{source}-{target}" for source, target in pairs)


def join_words(weights: NDArray[Any], rows: Line, columns: Line) -> _Matrix:
    """Return weights between words: the mean over a row word's tokens of the sums over a column word's tokens.

    Left out are marks and the punctuation that stands with a word: heads look there when they look for nothing (Clark
    et al. 2019, "What does BERT look at?", section 3.2), and a full stop's weight is not its word's. What remains of a
    row is made to sum to 1, or stays zero where nothing remains.
    """
    to_columns, to_rows = _word_of_tokens(columns), _word_of_tokens(rows).T
    to_rows /= np.maximum(to_rows.sum(axis=1, keepdims=True), 1)
    joined = to_rows @ weights.astype(np.float64) @ to_columns
    total = joined.sum(axis=1, keepdims=True)
    shares: _Matrix = np.divide(joined, total, out=np.zeros_like(joined), where=total > 0)
    return shares


def _word_of_tokens(line: Line) -> _Matrix:
    """Return for each token (rows) a 1 at the word that it speaks for."""
    said = {word for token, word in zip(line.tokens, line.words, strict=True) if not _is_punctuation(token)}
    matrix = np.zeros((len(line.words), len(line.text)))
    for place, (token, word) in enumerate(zip(line.tokens, line.words, strict=True)):
        # A word that is nothing but punctuation keeps it.
        if word is not None and not (word in said and _is_punctuation(token)):
            matrix[place, word] = 1
    return matrix


def _is_punctuation(token: str) -> bool:
    return all(unicodedata.category(character).startswith("P") for character in token)


def align(layers: Sequence[NDArray[Any]], source: Line, output: Line) -> AlignmentView:
    """Read the alignment of one sentence off the attention to its source, the mean of all heads that are given.

    Args:
        layers: weights of one layer or more, (H, T, S) each.
        source: the source with its marks.
        output: what is written at each step, the end of sentence at the last.
    """
    words = join_words(np.concatenate(layers).mean(axis=0, dtype=np.float64), output, source)
    pairs = sorted((int(row.argmax()), place) for place, row in enumerate(words) if row.any())
    return AlignmentView(source.text, output.text, words, tuple(pairs))


@runtime_checkable
class LooksAtSource(Protocol):
    """What tells how it looks at a source while it writes a translation: the engines, that of torch with a recorder."""

    @property
    def max_source_length(self) -> int | None:
        """The most tokens a source may have, eos among them; None where there is no limit."""
        ...

    @property
    def max_length(self) -> int | None:
        """The most tokens of a target that the model can read, bos among them; None where there is no limit."""
        ...

    def source_attention(self, source: Sequence[int], target: Sequence[int]) -> Sequence[NDArray[np.float32]]:
        """Return where each layer looks in the source while it writes a given target: (H, T + 1, S + 1), eos included.

        Ids are without bos and eos. Where nothing looks at the source there are no layers.
        """
        ...


class Aligner:
    """Aligns texts with their translations by the model of a translator, which reads both."""

    def __init__(self, translator: Translator, heads: Heads | None = None) -> None:
        """Take a loaded translator; any engine will do.

        Args:
            translator: the translator.
            heads: which heads' mean is taken; that of all heads of all layers if None.

        Raises:
            InputError: the model has no attention to the source.
            ConfigError: it has no such heads, or `heads` names none.
        """
        self._tokenizers = translator.tokenizers
        self._engine = _looking(translator)
        # How many heads there are is told by how the model looks at an empty source.
        there = [len(layer) for layer in self._engine.source_attention((), ())]
        if not there:
            raise InputError("the model has no attention to its source; nothing aligns there")
        self._heads = _choose_heads(there, [(layer, None) for layer in range(len(there))] if heads is None else heads)

    @classmethod
    def load(
        cls, path: Path, device: str | None = None, engine: EngineName = "auto", heads: Heads | None = None
    ) -> "Aligner":
        """Load the translation model of a run folder, or a packed model; see `Translator.load`.

        Raises:
            AttentoError: as `Translator.load`, and as above.
        """
        return cls(Translator.load(path, device=device, engine=engine), heads)

    def align(self, source: str, target: str) -> Sequence[tuple[int, int]]:
        """Return the links between the white-space words of a source and its translation; none where one is empty.

        Raises:
            InputError: a text is longer than the model can take.
        """
        if not source.split() or not target.split():
            return ()
        read, written = read_text(self._tokenizers.source, source), read_text(self._tokenizers.target, target)
        _check_length("sentence", len(read.ids) + 1, self._engine.max_source_length)
        _check_length("translation", len(written.ids) + 1, self._engine.max_length)
        layers = self._engine.source_attention(read.ids, written.ids)
        chosen = [layers[layer][head : head + 1] for layer, head in self._heads]
        return align(chosen, read.before(EOS_ID), written.before(EOS_ID)).pairs

    def pharaoh(self, source: str, target: str) -> str:
        """Return the same links as text; see `align`."""
        return pharaoh(self.align(source, target))


def _looking(translator: Translator) -> LooksAtSource:
    if isinstance(translator.engine, LooksAtSource):
        return translator.engine
    from attento.engines.torch import TorchEngine
    from attento.inspection.source_attention import RecordedEngine

    assert isinstance(translator.engine, TorchEngine)
    return RecordedEngine(translator.engine.model)


def _choose_heads(there: Sequence[int], wanted: Heads) -> list[tuple[int, int]]:
    """Return the heads that are wanted, each once; `there` is how many each layer has."""
    chosen: dict[tuple[int, int], None] = {}
    for layer, head in wanted:
        if not 0 <= layer < len(there) or not (head is None or 0 <= head < there[layer]):
            name = f"layer {layer}" if head is None else f"head {layer}.{head}"
            raise ConfigError(
                f"there is no {name} that looks at the source; there are layers 0 to {len(there) - 1} with heads 0 to "
                f"{max(there) - 1}"
            )
        chosen |= dict.fromkeys((layer, each) for each in (range(there[layer]) if head is None else (head,)))
    if not chosen:
        raise ConfigError("no head is named to take the alignment from; name one, or leave `heads` out for all")
    return list(chosen)


def _check_length(what: str, tokens: int, limit: int | None) -> None:
    if limit is not None and tokens > limit:
        raise InputError(
            f"the {what} has {tokens} tokens with its marks, but the model takes at most {limit}; shorten it, or train "
            "with a larger `model.max_positions`"
        )

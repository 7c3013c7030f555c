"""Which source word each word of a translation comes from, read off the attention to the source.

All heads of all layers that look at the source are taken, and their mean: which layer and head align best differs from
model to model, and the mean comes near the best of them in each (docs/inside.md has the numbers). The last layer but
one alone, which Garg et al. 2019 (arXiv:1909.02074, section 4) found best in six layers, is worse in the small models
here. The weights are those of the step that writes a word. Tokens are joined to white-space words, marks and
punctuation are left out, and each word of the translation is linked to the source word of most weight. It is no more
than a reading of attention: no model here was trained to align.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attento.errors import InputError
from attento.inspection.reading import LoadedRun, check_length, force, load_run
from attento.inspection.tokens import Line, read_text
from attento.inspection.trace import Attention, Trace, as_numpy
from attento.models.base import EncoderDecoder
from attento.text.special import EOS_ID

_Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class AlignmentView:
    """An alignment of words.

    Attributes:
        source: the source's words.
        target: the translation's words.
        weights: how much each word of the translation (rows) looks at each source word; rows sum to 1.
        pairs: the links: source word, word of the translation, both counted from 0.
        taken_from: what attention it was read off.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    weights: _Matrix
    pairs: tuple[tuple[int, int], ...]
    taken_from: str

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


def looks_at_source(trace: Trace) -> list[Attention]:
    """Return the attentions of a translation model to its source, a layer each."""
    cross = [each for each in trace.attentions if each.kind == "cross"]
    # One stack that reads both looks at the source as a part of its own text.
    return cross or [each for each in trace.attentions if each.rows == each.columns == "source and target"]


def align(looks: Sequence[Attention], source: Line, output: Line) -> AlignmentView:
    """Read the alignment of one sentence off the attention to its source.

    Args:
        looks: one layer or more, recorded while source and translation were read at once; see `looks_at_source`.
        source: the source with its marks.
        output: what is written at each step, the end of sentence at the last.
    """
    heads = torch.cat([each.weights[0].float() for each in looks])
    weights = as_numpy(heads.mean(dim=0))[-len(output.ids) :, : len(source.ids)]
    words = join_words(weights, output, source)
    pairs = sorted((int(row.argmax()), place) for place, row in enumerate(words) if row.any())
    layers = looks[0].name if len(looks) == 1 else f"{len(looks)} layers"
    taken_from = f"the mean of {len(heads)} heads of {layers}" if len(heads) > 1 else layers
    return AlignmentView(source.text, output.text, words, tuple(pairs), taken_from)


class Aligner:
    """Aligns texts with their translations by a translation model, which reads both."""

    def __init__(self, run: LoadedRun) -> None:
        """Take a loaded run.

        Raises:
            InputError: its model is none that translates.
        """
        if not isinstance(run.model, EncoderDecoder):
            raise InputError(f"{run.name}: holds {run.kind.text}, which has no source and translation to align")
        self._run, self._model = run, run.model

    @classmethod
    def load(cls, path: Path, device: str | None = None) -> "Aligner":
        """Load the translation model of a run folder.

        Raises:
            InputError: the folder's model does not translate.
            RunFolderError: the folder holds no finished model.
        """
        return cls(load_run(path, device))

    def align(self, source: str, target: str) -> Sequence[tuple[int, int]]:
        """Return the links between the white-space words of a source and its translation; none where one is empty.

        Raises:
            InputError: the model has no attention to the source, or a text is longer than it can take.
        """
        if not source.split() or not target.split():
            return ()
        run, model = self._run, self._model
        read = read_text(run.tokenizers.source, source).before(EOS_ID)
        written = read_text(run.tokenizers.target, target)
        check_length(run, "sentence", len(read.ids), model.max_source_length)
        check_length(run, "translation", len(written.ids) + 1, model.max_target_length)
        reading, _ = force(run, model, read, written)
        looks = looks_at_source(reading.trace)
        if not looks:
            raise InputError(
                f"{run.name}: holds {run.kind.text}, which has no attention to its source; nothing aligns there"
            )
        return align(looks, read, reading.lines["output"]).pairs

    def pharaoh(self, source: str, target: str) -> str:
        """Return the same links as text; see `align`."""
        return pharaoh(self.align(source, target))

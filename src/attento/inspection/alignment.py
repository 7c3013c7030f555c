"""Which source word each word of a translation comes from, read off the attention to the source.

Of the layers that look at the source the last but one is taken, where there are two or more, and the mean of its heads:
Garg et al. 2019, "Jointly learning to align and translate with Transformer models" (arXiv:1909.02074), section 4, find
that it aligns best. The weights are those of the step that writes a word. Tokens are joined to white-space words, marks
are left out, and each word of the translation is linked to the source word of most weight. It is no more than a reading
of attention: no model here was trained to align.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attento.errors import InputError
from attento.inspection.reading import LoadedRun, check_length, force, load_run
from attento.inspection.tokens import Line, read_text
from attento.inspection.trace import Trace, as_numpy
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

    Marks are left out and what remains of a row is made to sum to 1, or stays zero where nothing remains (Clark et al.
    2019, "What does BERT look at?", section 4.1).
    """
    to_columns = np.zeros((len(columns.words), len(columns.text)))
    for place, word in enumerate(columns.words):
        if word is not None:
            to_columns[place, word] = 1
    to_rows = np.zeros((len(rows.text), len(rows.words)))
    for place, word in enumerate(rows.words):
        if word is not None:
            to_rows[word, place] = 1
    to_rows /= np.maximum(to_rows.sum(axis=1, keepdims=True), 1)
    joined = to_rows @ weights.astype(np.float64) @ to_columns
    total = joined.sum(axis=1, keepdims=True)
    shares: _Matrix = np.divide(joined, total, out=np.zeros_like(joined), where=total > 0)
    return shares


def align(trace: Trace, source: Line, output: Line) -> AlignmentView | None:
    """Read the alignment of one sentence off what was recorded; None where nothing looks at the source.

    Args:
        trace: of one source and its translation, read at once.
        source: the source with its marks.
        output: what is written at each step, the end of sentence at the last.
    """
    steps, read = len(output.ids), len(source.ids)
    looks = [each for each in trace.attentions if each.kind == "cross"]
    # One stack that reads both looks at the source as a part of its own text.
    looks = looks or [each for each in trace.attentions if each.rows == each.columns == "source and target"]
    if not looks:
        return None
    chosen = looks[max(len(looks) - 2, 0)]
    weights = as_numpy(chosen.weights[0].float().mean(dim=0))[-steps:, :read]
    words = join_words(weights, output, source)
    pairs = sorted((int(row.argmax()), place) for place, row in enumerate(words) if row.any())
    heads = f"the mean of {chosen.heads} heads of " if chosen.heads > 1 else ""
    return AlignmentView(source.text, output.text, words, tuple(pairs), f"{heads}{chosen.name}")


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
        found = align(reading.trace, read, reading.lines["output"])
        if found is None:
            raise InputError(
                f"{run.name}: holds {run.kind.text}, which has no attention to its source; nothing aligns there"
            )
        return found.pairs

    def pharaoh(self, source: str, target: str) -> str:
        """Return the same links as text; see `align`."""
        return pharaoh(self.align(source, target))

"""How well attention to the source aligns words, against an alignment that is known: the built-in language's own."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from attento.engines.loading import evaluating
from attento.evaluation.report.section import Figure, Grid, Section, number
from attento.inspection.alignment import align, join_words
from attento.inspection.probes.result import Result
from attento.inspection.probes.tracing import trace_pair
from attento.inspection.source_attention import looks_at_source, source_weights
from attento.inspection.tokens import Line, read_text
from attento.inspection.trace import Trace
from attento.models.base import EncoderDecoder
from attento.synthetic import Example
from attento.text.special import EOS_ID
from attento.text.tokenizer import TokenizerPair

Links = Iterable[tuple[int, int]]


@dataclass(frozen=True)
class Agreement:
    """How found links agree with known ones.

    Attributes:
        found: links found.
        known: links known, all of them sure.
        right: links that are both.
        error_rate: 1 - 2 |A and S| / (|A| + |S|) (Och & Ney 2003, section 5.1; there are no possible links).
        precision: the share of the found links that are right.
        recall: the share of the known links that are found.
    """

    found: int
    known: int
    right: int
    error_rate: float
    precision: float
    recall: float


@dataclass(frozen=True)
class AlignmentResult(Result):
    """The alignment error rate of a run, beside those of two ways that look at no word.

    Attributes:
        sentences: how many were aligned, each with its reference translation.
        model: the agreement of the links that `attento translate --alignment` would give.
        diagonal: that of linking each word to the one that stands at the same share of the source.
        first: that of linking each word to the first word of the source.
        parts: that of each layer's mean and of each head, by name.
    """

    task: ClassVar[str] = "alignment"
    sentences: int
    model: Agreement
    diagonal: Agreement
    first: Agreement
    parts: dict[str, Agreement]

    def sections(self) -> tuple[Section, ...]:
        """Return the findings as words, tables and figures."""
        words = (
            f"{self.sentences} sentences of the built-in language with their translations. Each word of a translation "
            "is linked to the source word that gets most of its attention. Alignment error rate: 0 is perfect. Each "
            "word has one link here, but some have several in truth, so that 0 is out of reach."
        )
        ways = {
            "attention, mean of all": self.model,
            "the diagonal": self.diagonal,
            "the first word": self.first,
        } | self.parts
        rows = tuple(
            (name, number(way.error_rate), number(way.precision), number(way.recall)) for name, way in ways.items()
        )
        bars = {"type": "bar", "x": list(ways), "y": [way.error_rate for way in ways.values()]}
        figure = Figure("Alignment error rate", (bars,), "links by", "error rate")
        return (
            Section("Alignment", words, (Grid(("links by", "error rate", "precision", "recall"), rows),), (figure,)),
        )


def probe_alignment(
    run: str, model: EncoderDecoder, tokenizers: TokenizerPair, examples: Sequence[Example]
) -> AlignmentResult:
    """Align sentences with their known translations and compare with the known alignment.

    Args:
        run: what the model is called.
        model: one with attention to the source.
        tokenizers: its own.
        examples: what to align.
    """
    found: list[Links] = []
    parts: dict[str, list[Links]] = {}
    with evaluating(model), torch.inference_mode():
        for example in examples:
            source = read_text(tokenizers.source, example.english)
            target = read_text(tokenizers.target, example.french)
            trace = trace_pair(model, source.ids, target.ids, "weights")
            lines = source.before(EOS_ID), target.before(EOS_ID)
            found.append(align(source_weights(trace, *(line.ids for line in lines)), *lines).pairs)
            for name, links in _links_by_part(trace, *lines):
                parts.setdefault(name, []).append(links)
    known = [example.alignment for example in examples]
    lengths = [(len(example.english.split()), len(example.french.split())) for example in examples]
    return AlignmentResult(
        run,
        len(examples),
        agreement(found, known),
        agreement([[(round(j * (m - 1) / max(n - 1, 1)), j) for j in range(n)] for m, n in lengths], known),
        agreement([[(0, j) for j in range(n)] for _, n in lengths], known),
        {name: agreement(links, known) for name, links in parts.items()},
    )


def _links_by_part(trace: Trace, source: Line, target: Line) -> Iterator[tuple[str, Links]]:
    layers = source_weights(trace, source.ids, target.ids)
    for attention, weights in zip(looks_at_source(trace), layers, strict=True):
        name = f"{attention.kind} {attention.layer}"
        if attention.heads > 1:
            yield f"{name}, mean", _links(weights.mean(axis=0), source, target)
        for head, each in enumerate(weights):
            yield f"{name}.{head}", _links(each, source, target)


def _links(weights: NDArray[Any], source: Line, target: Line) -> Links:
    words = join_words(weights, target, source)
    return [(int(np.argmax(row)), place) for place, row in enumerate(words) if row.any()]


def agreement(found: Sequence[Links], known: Sequence[Links]) -> Agreement:
    """Count the links of some sentences that are found, known, and both."""
    pairs = [(set(mine), set(theirs)) for mine, theirs in zip(found, known, strict=True)]
    here, there = sum(len(mine) for mine, _ in pairs), sum(len(theirs) for _, theirs in pairs)
    right = sum(len(mine & theirs) for mine, theirs in pairs)
    return Agreement(here, there, right, 1 - 2 * right / (here + there), right / here if here else 0.0, right / there)

"""How well attention to the source aligns words, against an alignment that is known: the built-in language's own."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from attento.evaluation.report.section import Grid, Section, number
from attento.inspection.alignment import Aligner
from attento.inspection.probes.result import Result
from attento.synthetic import Example

Links = Iterable[tuple[int, int]]


@dataclass(frozen=True)
class Agreement:
    """How found links agree with known ones.

    Attributes:
        found: links found.
        known: links known, all of them sure.
        right: links that are both.
    """

    found: int
    known: int
    right: int

    @property
    def error_rate(self) -> float:
        """The alignment error rate, 1 - 2 |A and S| / (|A| + |S|) (Och & Ney 2003, section 5.1; no possible links)."""
        return 1 - 2 * self.right / (self.found + self.known)

    @property
    def precision(self) -> float:
        """The share of the found links that are right."""
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """The share of the known links that are found."""
        return self.right / self.known


@dataclass(frozen=True)
class AlignmentResult(Result):
    """The alignment error rate of a run, beside those of two ways that look at no word.

    Attributes:
        sentences: how many were aligned, each with its reference translation.
        model: the agreement of the links that attention tells.
        diagonal: that of linking each word to the one that stands at the same share of the source.
        first: that of linking each word to the first word of the source.
    """

    task: ClassVar[str] = "alignment"
    sentences: int
    model: Agreement
    diagonal: Agreement
    first: Agreement

    def sections(self) -> tuple[Section, ...]:
        """Return the findings as words, tables and figures."""
        words = (
            f"{self.sentences} sentences of the built-in language with their translations. Each word of a translation "
            "is linked to the source word that gets most of its attention. Alignment error rate: 0 is perfect."
        )
        ways = {"attention": self.model, "the diagonal": self.diagonal, "the first word": self.first}
        rows = tuple(
            (name, number(way.error_rate), number(way.precision), number(way.recall)) for name, way in ways.items()
        )
        return (Section("Alignment", words, (Grid(("links by", "error rate", "precision", "recall"), rows),)),)


def probe_alignment(run: str, aligner: Aligner, examples: Sequence[Example]) -> AlignmentResult:
    """Align sentences with their known translations and compare with the known alignment.

    Raises:
        InputError: the model has no attention to the source, or a sentence is longer than it can take.
    """
    known = [example.alignment for example in examples]
    lengths = [(len(example.english.split()), len(example.french.split())) for example in examples]
    diagonal = [[(round(j * (m - 1) / max(n - 1, 1)), j) for j in range(n)] for m, n in lengths]
    return AlignmentResult(
        run,
        len(examples),
        agreement([aligner.align(example.english, example.french) for example in examples], known),
        agreement(diagonal, known),
        agreement([[(0, j) for j in range(n)] for _, n in lengths], known),
    )


def agreement(found: Sequence[Links], known: Sequence[Links]) -> Agreement:
    """Count the links of some sentences that are found, known, and both."""
    pairs = [(set(mine), set(theirs)) for mine, theirs in zip(found, known, strict=True)]
    return Agreement(
        found=sum(len(mine) for mine, _ in pairs),
        known=sum(len(theirs) for _, theirs in pairs),
        right=sum(len(mine & theirs) for mine, theirs in pairs),
    )

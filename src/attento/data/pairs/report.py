"""What the preparation did to the text, for a person (`report.md`) and for a program (`report.json`)."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attento.data.pairs.cleaning import Rule
from attento.data.pairs.corpora import Chunk, Pair

_EXAMPLES = 2
_SHOWN = 120

_MEANINGS = {
    Rule.EMPTY: "empty: a side without text",
    Rule.CONTROL_CHARACTERS: "control characters: a side holds characters that are no text",
    Rule.WRONG_SCRIPT: "wrong script: the letters are not those of the language",
    Rule.IDENTICAL: "identical: source and target are the same",
    Rule.TOO_LONG: "too long: a side has more pieces than `max_tokens`",
    Rule.LENGTH_RATIO: "length ratio: one side is too long for the other",
    Rule.DUPLICATE: "duplicate: the pair has been there before",
}


@dataclass
class Example:
    """A pair, shortened, and where it stands."""

    where: str
    source: str
    target: str


@dataclass
class CorpusCount:
    """The pairs of one corpus."""

    name: str
    weight: float
    read: int = 0
    kept: int = 0


@dataclass
class Overlap:
    """Held-out source sentences that are training sources too (but for white space and case)."""

    held_out: str
    sentences: int
    found: int = 0
    training_pairs: int = 0
    examples: list[Example] = field(default_factory=list)


@dataclass
class Report:
    """Counts and examples, gathered while the text goes by."""

    corpora: list[CorpusCount]
    left_out: dict[Rule, int] = field(default_factory=lambda: {rule: 0 for rule in _MEANINGS})
    examples: dict[Rule, list[Example]] = field(default_factory=lambda: {rule: [] for rule in _MEANINGS})
    rules_off: dict[Rule, str] = field(default_factory=dict)
    overlaps: list[Overlap] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    tokens: tuple[int, int] = (0, 0)
    vocab_sizes: tuple[int, int] = (0, 0)
    validation_pairs: int = 0

    @property
    def read(self) -> int:
        """Training pairs read."""
        return sum(corpus.read for corpus in self.corpora)

    @property
    def kept(self) -> int:
        """Training pairs kept."""
        return sum(corpus.kept for corpus in self.corpora)

    def count(self, chunk: Chunk, rules: NDArray[np.uint8]) -> None:
        """Take in what became of a chunk."""
        corpus = self.corpora[chunk.corpus]
        corpus.read += len(rules)
        corpus.kept += int((rules == Rule.KEPT).sum())
        for rule in _MEANINGS:
            places = np.flatnonzero(rules == rule).tolist()
            self.left_out[rule] += len(places)
            for place in places[: _EXAMPLES - len(self.examples[rule])]:
                where = f"{corpus.name}:{chunk.first_line + place}"
                self.examples[rule].append(example(where, chunk.pairs[place]))

    def add_overlap(self, overlap: Overlap) -> None:
        """Take in the overlap with one held-out set; a warning where there is any."""
        self.overlaps.append(overlap)
        if overlap.found:
            self.warnings.append(
                f"{overlap.found} of {overlap.sentences} {overlap.held_out} source sentences are in the training text "
                f"too (in {overlap.training_pairs} training pairs): scores on them will be too good"
            )

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "training": {"read": self.read, "kept": self.kept, "source_tokens": self.tokens[0],
                         "target_tokens": self.tokens[1]},
            "corpora": [asdict(corpus) for corpus in self.corpora],
            "left_out": {rule.name.lower(): {
                "count": count,
                "off": self.rules_off.get(rule),
                "examples": [asdict(each) for each in self.examples[rule]],
            } for rule, count in self.left_out.items()},
            "overlap": [asdict(overlap) for overlap in self.overlaps],
            "validation_pairs": self.validation_pairs,
            "vocab_sizes": list(self.vocab_sizes),
            "warnings": list(self.warnings),
        }  # fmt: skip

    def as_markdown(self) -> str:
        """Return everything as a page to read."""
        return "\n".join([*self._overview(), *self._rules(), *self._held_out(), ""])

    def _overview(self) -> list[str]:
        source, target = self.vocab_sizes
        lines = ["# What was prepared", ""]
        lines += [f"**{self.kept:,} of {self.read:,} training pairs are kept ({_percent(self.kept, self.read)}).**"]
        lines += [f"They hold {self.tokens[0]:,} source and {self.tokens[1]:,} target pieces; the vocabularies have "]
        lines[-1] += f"{source:,} and {target:,} entries. {self.validation_pairs:,} validation pairs stand beside them."
        if self.warnings:
            lines += ["", "## Worth knowing", "", *(f"- {warning}" for warning in self.warnings)]
        lines += ["", "## Corpora", "", "| corpus | weight | read | kept |", "|---|---:|---:|---:|"]
        lines += [f"| {_cell(c.name)} | {c.weight:g} | {c.read:,} | {c.kept:,} |" for c in self.corpora]
        return lines

    def _rules(self) -> list[str]:
        lines = ["", "## Left out", "", "Each pair is counted once, under the first rule that hits it.", ""]
        lines += ["| rule | pairs | share |", "|---|---:|---:|"]
        for rule, count in self.left_out.items():
            off = self.rules_off.get(rule)
            cells = f"off ({off}) | |" if off and not count else f"{count:,} | {_percent(count, self.read)} |"
            lines.append(f"| {_MEANINGS[rule]} | {cells}")
        for rule, examples in self.examples.items():
            if examples:
                lines += ["", f"### {_MEANINGS[rule]}", "", *_listed(examples)]
        return lines

    def _held_out(self) -> list[str]:
        lines = ["", "## Held-out text in the training text", ""]
        for overlap in self.overlaps:
            share = _percent(overlap.found, overlap.sentences)
            lines.append(
                f"- {overlap.held_out}: {overlap.found:,} of {overlap.sentences:,} source sentences ({share}) are in "
                f"the training text, in {overlap.training_pairs:,} pairs; white space and case do not count"
            )
            lines += [f"  {line}" for line in _listed(overlap.examples)]
        return lines


def example(where: str, pair: Pair) -> Example:
    """Return a pair as an example to show."""
    return Example(where, *(_shorten(text) for text in pair))


def _listed(examples: list[Example]) -> list[str]:
    return [f"- {each.where}: `{each.source}` → `{each.target}`" for each in examples]


def _shorten(text: str) -> str:
    # What cannot be seen is spelt out, so that the reader sees why a pair was left out.
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:_SHOWN])
    return (shown + (" …" if len(text) > _SHOWN else "")).replace("`", "'")


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}%" if whole else "-"

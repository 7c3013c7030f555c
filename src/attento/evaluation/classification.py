"""How often a sentence model names the right label, over all and label by label. Knows no model and no file."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from attento.errors import InputError

# The 97.5th percentile of the standard normal distribution.
_Z = 1.959963984540054


@dataclass(frozen=True)
class LabelScore:
    """How well one label was found; shares are from 0 to 1, and None where there is nothing to take a share of."""

    label: str
    precision: float | None
    """The share of right ones among the examples that were given the label."""
    recall: float | None
    """The share of the label's examples that were given it."""
    f1: float
    """The harmonic mean of precision and recall; 0 where no example was right."""
    gold: int
    """How many examples have the label."""
    predicted: int
    """How many examples were given the label."""


@dataclass(frozen=True)
class ClassificationReport:
    """The scores of a set of predicted labels; shares are from 0 to 1."""

    accuracy: float
    interval: tuple[float, float]
    """The 95% interval of the accuracy (Wilson 1927)."""
    examples: int
    labels: tuple[LabelScore, ...]
    """A score for each label that is predicted or right somewhere, in alphabetical order."""
    confusion: tuple[tuple[int, ...], ...]
    """How many examples of the row's label were given the column's, in the order of `labels`."""

    @property
    def text(self) -> str:
        """The report as printable lines."""
        low, high = self.interval
        right = sum(row[i] for i, row in enumerate(self.confusion))
        names = [score.label for score in self.labels]
        scores = [
            [s.label, _percent(s.precision), _percent(s.recall), _percent(s.f1), str(s.gold), str(s.predicted)]
            for s in self.labels
        ]
        counts = [[name, *map(str, row)] for name, row in zip(names, self.confusion, strict=True)]
        return "\n".join(
            (
                f"accuracy = {_percent(self.accuracy)} (95% interval {_percent(low)} to {_percent(high)}), "
                f"{right} of {self.examples} examples",
                "",
                *_columns([["label", "precision", "recall", "F1", "examples", "predicted"], *scores]),
                "",
                *_columns([["label \\ predicted", *names], *counts]),
            )
        )

    def to_json(self) -> str:
        """Return the report as a JSON object, values unrounded."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2)


def evaluate_labels(predicted: Sequence[str], gold: Sequence[str]) -> ClassificationReport:
    """Compare predicted labels with the right ones.

    Args:
        predicted: the labels that a model gave.
        gold: the right labels, in the same order.

    Raises:
        InputError: the two lists differ in length or are empty.
    """
    if len(predicted) != len(gold):
        raise InputError(
            f"there are {len(predicted)} predicted labels but {len(gold)} right ones; "
            "give one right label for each prediction, in the same order"
        )
    if not gold:
        raise InputError("there is nothing to score: no predicted labels and no right ones")
    pairs = Counter(zip(gold, predicted, strict=True))
    in_gold, in_predicted = Counter(gold), Counter(predicted)
    names = sorted(in_gold.keys() | in_predicted.keys())
    right = sum(pairs[name, name] for name in names)
    return ClassificationReport(
        accuracy=right / len(gold),
        interval=wilson_interval(right, len(gold)),
        examples=len(gold),
        labels=tuple(_label_score(name, pairs[name, name], in_gold[name], in_predicted[name]) for name in names),
        confusion=tuple(tuple(pairs[row, column] for column in names) for row in names),
    )


def wilson_interval(right: int, examples: int) -> tuple[float, float]:
    """Compute the 95% score interval of a share (Wilson 1927, "Probable inference, the law of succession")."""
    share, weight = right / examples, _Z**2 / examples
    middle = (share + weight / 2) / (1 + weight)
    half = _Z * math.sqrt(share * (1 - share) / examples + weight / (4 * examples)) / (1 + weight)
    # Exact where rounding would leave a trace.
    return 0.0 if right == 0 else middle - half, 1.0 if right == examples else middle + half


def _label_score(label: str, right: int, gold: int, predicted: int) -> LabelScore:
    return LabelScore(
        label=label,
        precision=right / predicted if predicted else None,
        recall=right / gold if gold else None,
        f1=2 * right / (gold + predicted),
        gold=gold,
        predicted=predicted,
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}%"


def _columns(rows: list[list[str]]) -> list[str]:
    """Set a table in columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join((row[0].ljust(widths[0]), *(cell.rjust(n) for cell, n in zip(row[1:], widths[1:], strict=True))))
        for row in rows
    ]

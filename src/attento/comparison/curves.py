"""Learning curves and speeds, read from the record that a training run leaves."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from attento.comparison.results import CurvePoint, Quantity

_SPEEDS = ("train/source_tokens_per_second", "train/target_tokens_per_second")


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the records of a run's `metrics.jsonl`; none where there is no such file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def learning_curve(records: Sequence[dict[str, Any]]) -> tuple[CurvePoint, ...]:
    """Return the validation losses; minutes are those of training steps, with no validation and no saving.

    The record tells tokens and tokens a second; their quotient is the time, known at each report and taken to pass
    evenly between two of them.
    """
    steps, minutes = _clock(records)
    points = [each for each in records if each.get("validation/loss") is not None]
    return tuple(
        CurvePoint(
            step=each["step"],
            minutes=float(np.interp(each["step"], steps, minutes)) if len(steps) > 1 else None,
            loss=each["validation/loss"],
        )
        for each in points
    )


def minutes_of_steps(records: Sequence[dict[str, Any]]) -> float | None:
    """Return the minutes that all steps took together; None where there were none."""
    steps, minutes = _clock(records)
    return minutes[-1] if len(steps) > 1 else None


def training_speed(records: Sequence[dict[str, Any]]) -> Quantity | None:
    """Return the median of the tokens a second that the run reported, both sides together; None where it did not."""
    speeds = [sum(each.get(name) or 0.0 for name in _SPEEDS) for each in records if each.get(_SPEEDS[1]) is not None]
    if not speeds:
        return None
    spread = f"lowest and highest of {len(speeds)} reports"
    return Quantity(value=median(speeds), low=min(speeds), high=max(speeds), spread=spread, runs=len(speeds))


def _clock(records: Sequence[dict[str, Any]]) -> tuple[list[int], list[float]]:
    """Return the steps of all reports and the minutes that had passed at each, from nothing on."""
    steps, minutes, tokens = [0], [0.0], 0
    for record in records:
        seen, speed = record.get("train/target_tokens"), record.get(_SPEEDS[1])
        if seen is not None and speed:
            steps.append(record["step"])
            minutes.append(minutes[-1] + (seen - tokens) / speed / 60)
            tokens = seen
    return steps, minutes

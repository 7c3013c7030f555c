"""Curves and speeds from a record whose times can be told by reckoning."""

import json
from pathlib import Path

import pytest

from attento.comparison.curves import learning_curve, minutes_of_steps, read_records, training_speed


def report(step: int, tokens: int, speed: float) -> dict[str, float]:
    return {
        "step": step,
        "train/target_tokens": tokens,
        "train/target_tokens_per_second": speed,
        "train/source_tokens_per_second": 2 * speed,
    }


RECORDS = [
    report(10, 600, 10.0),  # one minute
    {"step": 10, "validation/loss": 5.0},
    {"step": 15, "validation/loss": 4.0},
    report(20, 1800, 5.0),  # four more
    {"step": 20, "validation/loss": 3.0},
    report(30, 2400, 30.0),
    {"step": 30, "final/loss": 2.5},
]


def test_minutes_are_those_of_the_tokens_at_their_speed() -> None:
    curve = learning_curve(RECORDS)
    assert [(point.step, point.loss) for point in curve] == [(10, 5.0), (15, 4.0), (20, 3.0)]
    assert [point.minutes for point in curve] == pytest.approx([1.0, 3.0, 5.0])
    assert minutes_of_steps(RECORDS) == pytest.approx(5 + 1 / 3)


def test_the_speed_is_the_median_of_all_reports_both_sides_together() -> None:
    speed = training_speed(RECORDS)
    assert speed is not None
    assert (speed.value, speed.low, speed.high, speed.runs) == (30.0, 15.0, 90.0, 3)


def test_a_model_that_only_counts_has_no_times() -> None:
    records = [{"step": 1, "validation/loss": 2.0, "final/loss": 2.0}]
    assert training_speed(records) is None
    assert minutes_of_steps(records) is None
    assert [point.minutes for point in learning_curve(records)] == [None]


def test_records_are_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_records(path) == []
    path.write_text("".join(json.dumps(each) + "\n" for each in RECORDS))
    assert read_records(path) == RECORDS

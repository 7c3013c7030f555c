"""However often a run is cut off, its record reads as if it never had been."""

import json
import os
import sys
from pathlib import Path

import pytest

from attento.errors import MissingExtraError, TrainingError
from attento.training.records import metrics
from attento.training.records.metrics import MetricsLog


def steps(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "metrics.jsonl"
    with MetricsLog(path) as log:
        for step in (10, 20, 30):
            log.write(step, {"loss": 1 / step, "note": "größer"})
    return path


def test_a_record_is_readable_before_the_log_is_closed(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.write(7, {"loss": 0.1 + 0.2, "tokens": 2**53 + 1, "best": True, "note": None})
    line = (tmp_path / "metrics.jsonl").read_text()
    log.close()
    assert line.endswith("\n")
    assert json.loads(line) == {"step": 7, "loss": 0.1 + 0.2, "tokens": 2**53 + 1, "best": True, "note": None}


def test_resumption_drops_what_came_later(path: Path) -> None:
    with MetricsLog(path, resume_step=20) as log:
        log.write(30, {"loss": 5.0})
    assert steps(path) == [10, 20, 30]
    assert json.loads(path.read_text().splitlines()[-1]) == {"step": 30, "loss": 5.0}
    assert [file.name for file in path.parent.iterdir()] == ["metrics.jsonl"]


def test_resumption_at_the_end_leaves_the_file_alone(path: Path) -> None:
    before = path.read_bytes(), path.stat().st_ino
    MetricsLog(path, resume_step=30).close()
    assert (path.read_bytes(), path.stat().st_ino) == before


def test_a_new_start_tells_a_new_story(path: Path) -> None:
    MetricsLog(path).close()
    assert path.read_bytes() == b""


@pytest.mark.parametrize("tail", [b'{"step": 25, "lo', b'{"step": 25}'[:-1], b"\x00" * 11, b"\xff\xfe", b"[25]", b"{}"])
def test_a_cut_last_line_is_dropped(path: Path, tail: bytes) -> None:
    with path.open("ab") as file:
        file.write(tail)
    with MetricsLog(path, resume_step=30) as log:
        log.write(40, {})
    assert steps(path) == [10, 20, 30, 40]


def test_a_last_line_that_lost_only_its_end_of_line_is_kept(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)
    with MetricsLog(path, resume_step=30) as log:
        log.write(40, {})
    assert steps(path) == [10, 20, 30, 40]


def test_an_interrupted_rewrite_keeps_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(writing: Path, final: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(metrics, "replace_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        MetricsLog(path, resume_step=10)
    assert steps(path) == [10, 20, 30]
    assert [file.name for file in path.parent.iterdir()] == ["metrics.jsonl"]


def test_not_finite_numbers_are_null(tmp_path: Path) -> None:
    with MetricsLog(tmp_path / "metrics.jsonl") as log:
        log.write(1, {"loss": float("nan"), "norm": float("inf")})
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "loss": null, "norm": null}\n'


def test_a_folder_in_the_way_is_a_training_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="training record"):
        MetricsLog(tmp_path)


def shown(folder: Path, tag: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_tensorboard_shows_the_same_straight_story(tmp_path: Path) -> None:
    board = tmp_path / "tensorboard"
    with MetricsLog(tmp_path / "metrics.jsonl", tensorboard=board) as log:
        for step in (10, 20, 30):
            log.write(step, {"loss": step / 8, "note": "words", "bad": float("nan")})
    with MetricsLog(tmp_path / "metrics.jsonl", tensorboard=board, resume_step=20) as log:
        log.write(30, {"loss": 0.5})
    assert shown(board, "loss") == [(10, 1.25), (20, 2.5), (30, 0.5)]


def test_missing_tensorboard_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"attento\[train\]"):
        MetricsLog(tmp_path / "metrics.jsonl", tensorboard=tmp_path / "tensorboard")

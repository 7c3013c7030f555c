"""The loop goes on exactly where it was, whatever stopped it, survives bad steps, and ends when patience does."""

import math
import os
import signal
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from training_runs import assert_same

from attento.errors import RunFolderError, TrainingError
from attento.training.loop import Meter, Trainer
from attento.training.validation import ValidationResult

MakeBench = Callable[..., Any]


def checkpoints(trainer: Trainer) -> list[str]:
    return [path.name for path in trainer.store.paths()]


def at_step(trainer: Trainer, step: int, action: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something before the batch of a step is computed."""
    gradients = trainer._gradients

    def with_action(*arguments: Any) -> float:
        if trainer.state.step + 1 == step:
            action()
        return gradients(*arguments)

    monkeypatch.setattr(trainer, "_gradients", with_action)


def spoil_gradients(trainer: Trainer, steps: Container[int], monkeypatch: pytest.MonkeyPatch) -> None:
    output_layer = trainer.model.output_layer

    def spoiled() -> tuple[Tensor, Tensor | None]:
        weight, bias = output_layer()
        return weight * (math.nan if trainer.state.step + 1 in steps else 1.0), bias

    monkeypatch.setattr(trainer.model, "output_layer", spoiled)


def test_goes_on_bit_for_bit(bench: MakeBench) -> None:
    whole = bench("whole", max_steps=9)
    assert whole.run()
    # Cut off amid an epoch and between two reports; the checkpoint of step 6 is the newest.
    first = bench("cut", max_steps=8)
    at_end = first.trainer.at_end
    first.trainer.at_end = lambda: first.trainer.state.step == 7 or at_end()
    first.trainer.save = lambda: None if first.trainer.state.step == 7 else Trainer.save(first.trainer)
    first.run()
    second = bench("cut", max_steps=9)
    torch.manual_seed(4321)
    said: list[str] = []
    second.trainer.resume(said.append)
    assert said == ["going on from step 6"]
    assert second.run()
    assert_same(second.weights(), whole.weights())
    ours, theirs = second.trainer.state, whole.trainer.state
    ours.seconds = theirs.seconds = ours.meter.seconds = theirs.meter.seconds = 0.0
    assert ours == theirs
    assert ours.position.epoch > 0


def test_resumption_finds_other_text(bench: MakeBench) -> None:
    case = bench()
    case.run()
    other = bench()
    other.trainer.state.text = "another text"
    before = other.weights()
    with pytest.raises(RunFolderError, match="was trained on other text"):
        other.trainer.resume(print)
    assert_same(other.weights(), before)


def test_resumption_finds_a_checkpoint_of_another_model(bench: MakeBench) -> None:
    case = bench()
    case.run()
    other = bench()
    other.trainer.model.target_embedding.weight = torch.nn.Parameter(torch.zeros(29, 16))
    with pytest.raises(RunFolderError, match=r"(?s)step 7 does not fit.*target_embedding"):
        other.trainer.resume(print)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_polite_stop_saves_and_the_end_is_the_same(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], number: int
) -> None:
    whole = bench("whole", max_steps=11, keep_last=3)
    assert whole.run()
    cut = bench("cut", max_steps=11, keep_last=3)
    before = signal.getsignal(number)
    at_step(cut.trainer, 10, lambda: os.kill(os.getpid(), number), monkeypatch)
    assert cut.run() is False
    assert signal.getsignal(number) == before
    assert "stopping once this step" in capfd.readouterr().err
    # What the end will average is still there, beside what was saved for going on.
    assert checkpoints(cut.trainer) == ["step-00000006", "step-00000009", "step-00000010"]
    again = bench("cut", max_steps=11, keep_last=3)
    again.trainer.resume(print)
    assert again.run() is True
    assert checkpoints(again.trainer) == ["step-00000006", "step-00000009", "step-00000011"]
    assert checkpoints(whole.trainer) == checkpoints(again.trainer)
    assert_same(again.weights(), whole.weights())


def test_a_broken_newest_checkpoint_costs_only_time(bench: MakeBench) -> None:
    whole = bench("whole", max_steps=9)
    whole.run()
    cut = bench("cut", max_steps=6)
    cut.run()
    path = cut.trainer.store.paths()[-1] / "training.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    again = bench("cut", max_steps=9)
    said: list[str] = []
    again.trainer.resume(said.append)
    assert "step-00000006 is damaged" in said[0]
    assert said[-1] == "going on from step 3"
    again.run()
    assert_same(again.weights(), whole.weights())


def test_a_step_without_finite_gradient_changes_nothing(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    case = bench(max_steps=7, checkpoint_every=1, keep_last=7, report_every=4)
    spoil_gradients(case.trainer, range(4, 5), monkeypatch)
    before: list[dict[str, Tensor]] = []
    at_step(case.trainer, 4, lambda: before.append(case.weights()), monkeypatch)
    at_step(case.trainer, 5, lambda: before.append(case.weights()), monkeypatch)
    assert case.run()
    state = case.trainer.state
    assert_same(before[1], before[0])
    assert (state.step, state.bad_steps, state.bad_steps_in_a_row) == (7, 1, 0)
    assert "step 4: the gradient is not finite; this step is skipped (1 in all)" in case.said
    assert all(tensor.isfinite().all() for tensor in case.weights().values())
    # No checkpoint amid bad steps, and the report's mean does not know the step.
    assert checkpoints(case.trainer) == [f"step-{step:08d}" for step in (1, 2, 3, 5, 6, 7)]
    assert "4/7  loss nan" not in case.said


def test_an_infinite_gradient_is_skipped_without_clipping_too(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = bench(max_steps=2, clip_norm=None)
    before = case.weights()
    spoil_gradients(case.trainer, range(1, 3), monkeypatch)
    case.run()
    assert_same(case.weights(), before)
    assert case.trainer.state.bad_steps == 2


def test_too_many_bad_steps_stop_the_run(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"max_steps": 9, "checkpoint_every": 2, "max_bad_steps": 3}
    whole = bench("whole", **settings)
    whole.run()
    case = bench("case", **settings)
    spoil_gradients(case.trainer, range(6, 10), monkeypatch)
    with pytest.raises(TrainingError, match=r"step 8: 3 steps in a row .*checkpoints.*training\.schedule\.peak"):
        case.run()
    assert checkpoints(case.trainer) == ["step-00000002", "step-00000004"]
    again = bench("case", **settings)
    again.trainer.resume(print)
    again.run()
    assert_same(again.weights(), whole.weights())


def test_good_steps_between_bad_ones_begin_the_count_anew(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    case = bench(max_steps=8, max_bad_steps=3)
    spoil_gradients(case.trainer, (1, 2, 4, 5, 7, 8), monkeypatch)
    assert case.run()
    assert case.trainer.state.bad_steps == 6


def results(metric: str, scores: list[float]) -> list[ValidationResult]:
    if metric == "bleu":
        return [ValidationResult(3.0, {"bleu": score}, "bleu") for score in scores]
    return [ValidationResult(50.0 - score) for score in scores]


@pytest.mark.parametrize("metric", ["bleu", "loss"])
def test_patience_counts_validations_since_the_best(bench: MakeBench, metric: str) -> None:
    case = bench(
        results=results(metric, [10.0, 12.0, 11.0, 12.0, 13.0, 12.9, 13.0, 12.0, 11.0]),
        max_steps=40,
        validate_every=2,
        checkpoint_every=7,
        validation={"metric": metric, "patience": 3},
    )
    taken = {}
    validate = case.trainer._validate

    def remember(*arguments: Any) -> None:
        taken[case.trainer.state.step] = case.weights()
        validate(*arguments)

    case.trainer._validate = remember
    assert case.run()
    state = case.trainer.state
    # 13 at step 10 is the best; an equal one at step 14 is no better one.
    assert (state.step, state.best_step, state.worse_validations) == (16, 10, 3)
    assert state.best_score == (13.0 if metric == "bleu" else -37.0)
    for path in (case.trainer.best_weights, case.trainer.folder.weights):
        assert_same(load_file(path), taken[10])
    assert checkpoints(case.trainer)[-1] == "step-00000016"
    # Where it ended early it stays ended.
    again = bench(max_steps=40, validation={"metric": metric, "patience": 3})
    again.trainer.resume(print)
    assert again.trainer.at_end()
    assert again.run()
    assert again.trainer.state.step == 16
    # More patience, and it goes on.
    patient = bench(max_steps=40, validation={"metric": metric, "patience": 4})
    patient.trainer.resume(print)
    assert not patient.trainer.at_end()


def test_no_patience_is_endless_patience(bench: MakeBench) -> None:
    case = bench(results=results("loss", [5.0, 4.0]), max_steps=9, validate_every=1, validation={"patience": None})
    assert case.run()
    assert (case.trainer.state.step, case.trainer.state.worse_validations) == (9, 8)


def test_a_loss_that_is_no_number_is_never_the_best(bench: MakeBench) -> None:
    scores = [ValidationResult(math.nan), ValidationResult(2.0), ValidationResult(math.nan)]
    case = bench(results=scores, max_steps=3, validate_every=1)
    case.run()
    assert (case.trainer.state.best_score, case.trainer.state.best_step) == (-2.0, 2)


def test_a_report_without_a_good_step_has_no_loss() -> None:
    assert math.isnan(Meter(seconds=1.0).report()["loss"])


def test_a_full_disk_leaves_the_older_checkpoints(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    case = bench(max_steps=9)

    def full(tensors: object, path: Path, metadata: object) -> None:
        raise OSError(28, "No space left on device")

    at_step(
        case.trainer, 5, lambda: monkeypatch.setattr("attento.training.records.checkpoint.save_file", full), monkeypatch
    )
    with pytest.raises(TrainingError, match=r"step-00000006: .*No space left.*older checkpoints are untouched"):
        case.run()
    assert checkpoints(case.trainer) == ["step-00000003"]

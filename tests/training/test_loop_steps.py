"""A step in parts, in too small a memory or in bfloat16 is the step computed whole."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from training_runs import assert_same

from attento.errors import TrainingError
from attento.training.loop import Trainer, is_out_of_memory

MakeBench = Callable[..., Any]

# Adam divides by the gradient's size: with an epsilon this large, rounding stays as small as it is. (A bias of the keys
# moves no attention weight: its gradient is rounding alone.)
CALM = {"dropout": 0.0, "optimizer": {"epsilon": 1e-3}}


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


def flat(weights: dict[str, Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in weights.values()])


def fit_rows(trainer: Trainer, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the memory be too small for more than some rows: the encoder still does, then the decoder does not."""
    start, encode = trainer.model.start, trainer.model.encode
    seen = []

    def remember(source: Tensor, mask: Tensor) -> Any:
        seen.append(len(source))
        return encode(source, mask)

    def fail(memory: Any) -> Any:
        if seen[-1] > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 7 GiB.")
        return start(memory)

    monkeypatch.setattr(trainer.model, "encode", remember)
    monkeypatch.setattr(trainer.model, "start", fail)


def test_parts_of_a_batch_add_up_to_the_whole(bench: MakeBench) -> None:
    whole = bench("whole", **CALM)
    parts = bench("parts", **CALM, accumulation=3)
    assert whole.run()
    assert parts.run()
    assert_close(parts.weights(), whole.weights())
    assert parts.trainer.state.target_tokens == whole.trainer.state.target_tokens


@pytest.mark.parametrize("clip_norm", [None, 0.01])
def test_first_gradient_is_that_of_the_mean_token_loss(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch, clip_norm: float | None
) -> None:
    case = bench(dropout=0.0, max_steps=1, clip_norm=clip_norm, accumulation=2)
    model = case.trainer.model
    _, batch = next(case.trainer.batches.from_position())
    logits, _ = model.decode(batch.target_input, model.start(model.encode(batch.source, batch.source_mask)))
    torch.nn.functional.cross_entropy(
        logits[batch.target_mask], batch.target_output[batch.target_mask], label_smoothing=0.1
    ).backward()
    expected = [p.grad.clone() for p in model.parameters()]
    norm = torch.cat([gradient.flatten() for gradient in expected]).norm()
    scale = min(1.0, (clip_norm or math.inf) / norm.item())
    model.zero_grad()

    taken: list[Tensor] = []

    def take() -> None:
        taken.extend(p.grad.clone() for p in model.parameters())

    monkeypatch.setattr(case.trainer.optimizer, "step", take)
    case.run()
    for found, wanted in zip(taken, expected, strict=True):
        torch.testing.assert_close(found, wanted * scale, rtol=1e-4, atol=1e-6)


def test_out_of_memory_computes_the_step_in_parts(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = bench("plain", **CALM)
    plain.run()
    case = bench("case", **CALM)
    fit_rows(case.trainer, 3, monkeypatch)
    assert case.run()
    assert_close(case.weights(), plain.weights())
    assert case.trainer.state.parts == 4
    assert "computed in 2 parts" in case.said
    assert "computed in 4 parts" in case.said


def test_after_out_of_memory_a_step_is_as_if_in_parts_from_the_start(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = bench("parts", dropout=0.3, max_steps=1, accumulation=4)
    parts.run()
    case = bench("case", dropout=0.3, max_steps=1)
    _, batch = next(case.trainer.batches.from_position())
    fit_rows(case.trainer, -(-len(batch.source) // 4), monkeypatch)
    case.run()
    assert case.trainer.state.parts == 4
    assert_same(case.weights(), parts.weights())


def test_a_resumed_run_remembers_how_much_fits(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    case = bench(max_steps=23)  # more than an epoch: the largest batch has been seen
    fit_rows(case.trainer, 3, monkeypatch)
    case.run()
    again = bench(max_steps=29)
    again.trainer.resume(print)
    fit_rows(again.trainer, 3, monkeypatch)
    again.run()
    assert again.said.count("out of memory") == 0


def test_accumulation_may_be_changed_midway(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench(max_steps=3, accumulation=5).run()
    again = bench(max_steps=6, accumulation=2)
    again.trainer.resume(print)
    sizes: list[int] = []
    part = again.trainer._part
    monkeypatch.setattr(again.trainer, "_part", lambda *arguments: sizes.append(1) or part(*arguments))
    again.run()
    assert len(sizes) == 3 * 2


def test_one_pair_that_never_fits(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    case = bench()
    fit_rows(case.trainer, 0, monkeypatch)
    with pytest.raises(TrainingError, match=r"step 1: one sentence pair alone does not fit.*`data\.cleaning"):
        case.run()


def test_other_errors_are_not_taken_for_a_full_memory(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*arguments: object) -> None:
        raise RuntimeError("a mistake")

    case = bench()
    monkeypatch.setattr(case.trainer.model, "encode", wrong)
    with pytest.raises(RuntimeError, match="a mistake"):
        case.run()


def test_torchs_own_words_for_a_full_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_bfloat16_trains_and_keeps_its_weights_in_float32(bench: MakeBench) -> None:
    plain = bench("plain", **CALM)
    start = flat(plain.weights())
    plain.run()
    case = bench("case", **CALM, precision="bf16", loss_chunk_tokens=5)
    assert case.run()
    assert {tensor.dtype for tensor in case.weights().values()} == {torch.float32}
    found, expected = flat(case.weights()), flat(plain.weights())
    assert 0 < (found - expected).norm() < 0.1 * (expected - start).norm()

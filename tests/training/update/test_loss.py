"""The loss is the formula, its hand-written gradient is autograd's, and chunks change nothing."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from attento.training.update.loss import (
    chunked_cross_entropy,
    smoothed_cross_entropy_and_gradient,
    smoothed_cross_entropy_over_all_classes,
)

SMOOTHINGS = [0.0, 0.1, 0.7]


def formula(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """- sum over all classes of q log softmax(z), in float64."""
    logits = logits.double()
    log_probabilities = logits - logits.exp().sum(dim=-1, keepdim=True).log()
    wanted = torch.full_like(logits, smoothing / logits.size(-1))
    wanted[torch.arange(len(targets)), targets] += 1 - smoothing
    return -(wanted * log_probabilities).sum(dim=-1)


def draw(rows: int = 7, classes: int = 11, spread: float = 3.0) -> tuple[Tensor, Tensor]:
    return torch.randn(rows, classes) * spread, torch.randint(classes, (rows,))


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_loss_is_the_formula(smoothing: float) -> None:
    logits, targets = draw()
    losses = smoothed_cross_entropy_over_all_classes(logits, targets, smoothing)
    torch.testing.assert_close(losses.double(), formula(logits, targets, smoothing), rtol=1e-6, atol=1e-6)


def test_smoothing_counts_the_true_class_too() -> None:
    # Equal logits over 4 classes: any target that sums to 1 costs log 4.
    loss = smoothed_cross_entropy_over_all_classes(torch.zeros(1, 4), torch.tensor([2]), 0.5)
    assert loss.item() == pytest.approx(np.log(4))
    # One class of logit log 3 over zeros: -log p is log 2 for it and log 6 for the others.
    logits = torch.tensor([[np.log(3.0), 0.0, 0.0, 0.0]], dtype=torch.float32)
    loss = smoothed_cross_entropy_over_all_classes(logits, torch.tensor([0]), 0.4)
    assert loss.item() == pytest.approx(0.7 * np.log(2) + 0.3 * np.log(6))


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_gradient_is_that_of_autograd(smoothing: float) -> None:
    logits, targets = draw()
    exact = logits.double().requires_grad_()
    expected = formula(exact, targets, smoothing).sum()
    expected.backward()
    assert exact.grad is not None
    loss, gradient = smoothed_cross_entropy_and_gradient(logits, targets, smoothing)
    torch.testing.assert_close(loss.double(), expected.detach(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradient.double(), exact.grad, rtol=1e-5, atol=1e-7)


def test_logits_are_left_as_they_were() -> None:
    logits, targets = draw()
    before = logits.clone()
    smoothed_cross_entropy_and_gradient(logits, targets, 0.1)
    assert torch.equal(logits, before)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_logits_far_apart(smoothing: float) -> None:
    logits = torch.zeros(5, 13)
    logits[0, 3] = logits[1, 3] = 200.0
    logits[2, 3] = -200.0
    logits[3] = torch.linspace(-100, 100, 13)
    logits[4] = 200.0
    targets = torch.tensor([3, 5, 3, 0, 7])
    exact = logits.double().requires_grad_()
    # Moved below zero, so that nothing of the reference overflows; softmax does not feel it.
    expected = formula(exact - exact.detach().amax(dim=-1, keepdim=True), targets, smoothing).sum()
    expected.backward()
    assert exact.grad is not None
    loss, gradient = smoothed_cross_entropy_and_gradient(logits, targets, smoothing)
    torch.testing.assert_close(loss.double(), expected.detach(), rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(gradient.double(), exact.grad, rtol=1e-5, atol=1e-6)
    plain = smoothed_cross_entropy_over_all_classes(logits, targets, smoothing).sum()
    torch.testing.assert_close(plain, loss, rtol=1e-6, atol=1e-5)


def test_half_precision_logits_lose_no_more_than_their_rounding() -> None:
    logits, targets = draw()
    rounded = logits.bfloat16()
    loss, gradient = smoothed_cross_entropy_and_gradient(rounded, targets, 0.1)
    assert (loss.dtype, gradient.dtype) == (torch.float32, torch.bfloat16)
    expected_loss, expected = smoothed_cross_entropy_and_gradient(rounded.float(), targets, 0.1)
    torch.testing.assert_close(loss, expected_loss)
    assert torch.equal(gradient, expected.bfloat16())


def linear(rows: int = 13, width: int = 5, classes: int = 11, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Features, weight and bias, each with a gradient to come."""
    shapes = (rows, width), (classes, width), (classes,)
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def gradients(loss: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(loss * 0.37, inputs))


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("chunk_tokens", [1, 3, 13, 1000])
def test_chunks_give_loss_and_gradients_of_the_whole(chunk_tokens: int, with_bias: bool) -> None:
    features, weight, bias = linear()
    targets = torch.randint(11, (13,))
    inputs = [features, weight, *([bias] if with_bias else [])]
    expected = formula(features @ weight.T + (bias if with_bias else 0), targets, 0.1).sum()
    loss = chunked_cross_entropy(
        features, weight, bias if with_bias else None, targets, smoothing=0.1, chunk_tokens=chunk_tokens
    )
    # Ours goes through float32.
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=1e-6)
    for ours, theirs in zip(gradients(loss, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_tied_weight_gathers_both_of_its_gradients() -> None:
    ids, targets = torch.randint(11, (2, 17))
    _, weight, _ = linear()
    expected = formula(weight[ids] @ weight.T, targets, 0.1).sum()
    loss = chunked_cross_entropy(weight[ids], weight, None, targets, smoothing=0.1, chunk_tokens=7)
    (ours,), (theirs,) = gradients(loss, [weight]), gradients(expected, [weight])
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_half_precision_gradients_are_added_up_in_float32() -> None:
    # Some hundred chunks: added up in bfloat16, later ones would be lost beside the sum of the earlier.
    features, weight, bias = linear(rows=997, dtype=torch.bfloat16)
    exact = [each.detach().double().requires_grad_() for each in (features, weight, bias)]
    targets = torch.randint(11, (997,))
    expected = formula(exact[0] @ exact[1].T + exact[2], targets, 0.1).sum()
    loss = chunked_cross_entropy(features, weight, bias, targets, smoothing=0.1, chunk_tokens=2)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-3)
    for ours, theirs in zip(gradients(loss, [features, weight, bias]), gradients(expected, exact), strict=True):
        assert ours.dtype == torch.bfloat16
        assert (ours - theirs).norm() < 0.01 * theirs.norm()


def test_no_more_logits_than_a_chunk_at_once() -> None:
    features, weight, bias = linear()
    targets = torch.randint(11, (13,))

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            if isinstance(result, Tensor) and result.dim() == 2 and result.size(-1) == 11:
                seen.append(result.size(0))
            return result

    seen: list[int] = []
    with Sizes():
        chunked_cross_entropy(features, weight, bias, targets, smoothing=0.1, chunk_tokens=3).backward()
    assert max(seen) == 5  # (width, classes): the weight turned round; no (13, classes)
    assert seen.count(3) >= 4 and seen.count(1) >= 1

"""The loss is the formula, its hand-written gradient is autograd's, and chunks change nothing."""

import numpy as np
import pytest
import torch
from torch import Tensor

from attento.training.loss import (
    backward_in_chunks,
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
    (expected * 0.37).backward()
    assert exact.grad is not None
    loss, gradient = smoothed_cross_entropy_and_gradient(logits, targets, smoothing, scale=0.37)
    torch.testing.assert_close(loss.double(), expected.detach(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradient.double(), exact.grad, rtol=1e-5, atol=1e-7)


def test_logits_are_left_as_they_were() -> None:
    logits, targets = draw()
    before = logits.clone()
    smoothed_cross_entropy_and_gradient(logits, targets, 0.1, 1.0)
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
    loss, gradient = smoothed_cross_entropy_and_gradient(logits, targets, smoothing, scale=1.0)
    torch.testing.assert_close(loss.double(), expected.detach(), rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(gradient.double(), exact.grad, rtol=1e-5, atol=1e-6)
    plain = smoothed_cross_entropy_over_all_classes(logits, targets, smoothing).sum()
    torch.testing.assert_close(plain, loss, rtol=1e-6, atol=1e-5)


def test_half_precision_logits_lose_no_more_than_their_rounding() -> None:
    logits, targets = draw()
    rounded = logits.bfloat16()
    loss, gradient = smoothed_cross_entropy_and_gradient(rounded, targets, 0.1, scale=1.0)
    assert (loss.dtype, gradient.dtype) == (torch.float32, torch.bfloat16)
    expected_loss, expected = smoothed_cross_entropy_and_gradient(rounded.float(), targets, 0.1, scale=1.0)
    torch.testing.assert_close(loss, expected_loss)
    assert torch.equal(gradient, expected.bfloat16())


class Tied(torch.nn.Module):
    """One matrix on the way in and on the way out."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = torch.nn.Parameter(torch.randn(11, 5, dtype=torch.float64))
        self.middle = torch.nn.Linear(5, 5, dtype=torch.float64)

    def features(self, ids: Tensor) -> Tensor:
        return torch.tanh(self.middle(self.matrix[ids]))

    def project(self, features: Tensor) -> Tensor:
        return features @ self.matrix.T


@pytest.mark.parametrize("chunk_tokens", [1, 3, 1000])
def test_chunks_give_the_gradient_of_the_whole(chunk_tokens: int) -> None:
    model = Tied()
    ids, targets = torch.randint(11, (2, 3, 7))
    mask = torch.arange(7) < torch.tensor([7, 2, 5])[:, None]
    whole = model.project(model.features(ids))
    expected_loss = formula(whole[mask], targets[mask], 0.1).sum()
    (expected_loss / 14).backward()
    expected = {name: parameter.grad for name, parameter in model.named_parameters()}

    model.zero_grad()
    features = model.features(ids)
    features.retain_grad()
    # What stands in the padding must not matter.
    loss = backward_in_chunks(
        features,
        model.project,
        targets.where(mask, 1_000_000),
        mask,
        smoothing=0.1,
        scale=1 / 14,
        chunk_tokens=chunk_tokens,
    )
    # Ours goes through float32.
    torch.testing.assert_close(loss.double(), expected_loss.detach(), rtol=1e-6, atol=1e-6)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-5, atol=1e-7)
    assert features.grad is not None
    assert (features.grad[mask].abs().sum(dim=-1) > 0).all()
    assert (features.grad[~mask] == 0).all()


def test_gradients_are_added_to_those_that_are_there() -> None:
    model = Tied()
    ids, targets = torch.randint(11, (2, 2, 3))
    mask = torch.ones(2, 3, dtype=torch.bool)
    gradients = []
    for _ in range(2):
        backward_in_chunks(model.features(ids), model.project, targets, mask, smoothing=0.1, scale=1.0, chunk_tokens=4)
        assert model.matrix.grad is not None
        gradients.append(model.matrix.grad.clone())
    torch.testing.assert_close(gradients[1], 2 * gradients[0])


def test_no_more_logits_than_a_chunk_at_once() -> None:
    model = Tied()
    ids, targets = torch.randint(11, (2, 3, 7))
    sizes = []

    def project(features: Tensor) -> Tensor:
        sizes.append(len(features))
        return model.project(features)

    mask = torch.ones(3, 7, dtype=torch.bool)
    backward_in_chunks(model.features(ids), project, targets, mask, smoothing=0.1, scale=1.0, chunk_tokens=5)
    assert sizes == [5, 5, 5, 5, 1]

"""Normalizations against torch's own; batch normalization's is given the real places alone."""

import math

import pytest
import torch
from torch import Tensor, nn

from attento.nn.normalization import (
    BatchNormalization,
    LayerNormalization,
    NoNormalization,
    RMSNormalization,
    make_normalization,
    unchanged_statistics,
)

B, L, D = 3, 5, 7
REAL = torch.arange(L) < torch.tensor([[2], [5], [3]])


def draw(dtype: torch.dtype = torch.float64) -> Tensor:
    return (3 * torch.randn(B, L, D, dtype=dtype) + 2).requires_grad_()


def make_both() -> tuple[BatchNormalization, nn.BatchNorm1d]:
    ours, theirs = BatchNormalization(D).double(), nn.BatchNorm1d(D, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.copy_(ours.weight.normal_())
        theirs.bias.copy_(ours.bias.normal_())
    return ours, theirs


@pytest.mark.parametrize("real", [None, REAL], ids=["all", "real"])
def test_batch_normalization_is_torchs_over_the_real_places(real: Tensor | None) -> None:
    ours, theirs = make_both()
    places = torch.ones(B, L, dtype=torch.bool) if real is None else real
    for _ in range(3):
        hidden = draw()
        output, expected = ours(hidden, real)[places], theirs(hidden[places])
        torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(ours.running_mean, theirs.running_mean, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(ours.running_variance, theirs.running_var, rtol=1e-10, atol=1e-12)
        weight = torch.randn_like(output)
        gradients = torch.autograd.grad((output * weight).sum(), [hidden, ours.weight, ours.bias])
        others = torch.autograd.grad((expected * weight).sum(), [hidden, theirs.weight, theirs.bias])
        for gradient, other in zip(gradients, others, strict=True):
            torch.testing.assert_close(gradient, other, rtol=1e-9, atol=1e-11)
    ours.eval(), theirs.eval()
    hidden = draw()
    expected = theirs(hidden.flatten(0, 1)).view(B, L, D)
    torch.testing.assert_close(ours(hidden, real), expected, rtol=1e-10, atol=1e-12)


def test_padding_changes_neither_the_batchs_statistics_nor_the_averages() -> None:
    (ours, _), (other, _) = make_both(), make_both()
    other.load_state_dict(ours.state_dict())
    hidden = draw()
    changed = torch.where(REAL[:, :, None], hidden, 1e3 * torch.randn(B, L, D, dtype=torch.float64))
    assert torch.equal(ours(hidden, REAL)[REAL], other(changed, REAL)[REAL])
    assert torch.equal(ours.running_variance, other.running_variance)


def test_evaluation_takes_each_place_for_itself_and_keeps_the_averages() -> None:
    ours, _ = make_both()
    ours(draw())
    ours.eval()
    before, hidden = {name: value.clone() for name, value in ours.state_dict().items()}, draw()
    together = ours(hidden, REAL)
    for row in range(B):
        for place in range(L):
            alone = ours(hidden[row : row + 1, place : place + 1])
            assert torch.equal(alone, together[row : row + 1, place : place + 1])
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_overflowed_leave_the_averages_alone(bad: float) -> None:
    ours, _ = make_both()
    hidden = draw().detach()
    hidden[1, 2, 4] = bad
    ours(hidden)
    others = torch.arange(D) != 4
    assert (ours.running_mean[4], ours.running_variance[4]) == (0, 1)
    torch.testing.assert_close(ours.running_mean[others], 0.1 * hidden.mean((0, 1))[others])


def test_one_real_place_and_none_give_numbers() -> None:
    ours, _ = make_both()
    one = torch.zeros(B, L, dtype=torch.bool)
    one[1, 2] = True
    hidden = draw()
    torch.testing.assert_close(ours(hidden, one)[1, 2], ours.bias)
    assert ours(hidden, one & False).isfinite().all()
    assert ours.running_variance.isfinite().all()


def test_weights_in_half_precision_keep_the_format_and_measure_in_float32() -> None:
    ours = BatchNormalization(D)
    for parameter in ours.parameters():
        parameter.data = parameter.data.bfloat16()
    hidden = draw(torch.bfloat16)
    output = ours(hidden)
    assert output.dtype == torch.bfloat16
    assert ours.running_mean.dtype == torch.float32
    torch.testing.assert_close(ours.running_mean, 0.1 * hidden.float().mean((0, 1)))


def test_what_is_saved_is_numbers_that_can_be_averaged() -> None:
    state = BatchNormalization(D).state_dict()
    assert list(state) == ["weight", "bias", "running_mean", "running_variance"]
    assert all(value.is_floating_point() for value in state.values())


def test_unchanged_statistics_come_back_also_after_an_error() -> None:
    ours, _ = make_both()
    ours(draw())
    before = ours.running_mean.clone()
    with pytest.raises(KeyError), unchanged_statistics(ours):
        ours(draw())
        assert not torch.equal(ours.running_mean, before)
        raise KeyError
    assert torch.equal(ours.running_mean, before)


def test_layer_normalization_is_torchs() -> None:
    ours, theirs, hidden = make_normalization("layer", D), nn.LayerNorm(D), draw(torch.float32)
    assert isinstance(ours, LayerNormalization)
    nn.init.normal_(ours.weight)
    nn.init.normal_(ours.bias)
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours(hidden, REAL), theirs(hidden))


@pytest.mark.parametrize("epsilon", [1e-5, 1e-2])
def test_rms_normalization_is_torchs_and_equation_4(epsilon: float) -> None:
    """Zhang & Sennrich 2019, eq. 4: a_i / RMS(a) g_i, RMS(a) = sqrt(1/n sum a_i^2); epsilon under the root."""
    ours, theirs, hidden = RMSNormalization(D, epsilon).double(), nn.RMSNorm(D, epsilon).double(), draw()
    assert (ours.weight == 1).all()
    assert list(ours.state_dict()) == ["weight"]
    nn.init.normal_(ours.weight)
    theirs.load_state_dict(ours.state_dict())
    output, expected = ours(hidden, REAL), theirs(hidden)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-14)
    for row in range(B):
        for place in range(L):
            a = hidden[row, place].tolist()
            root = math.sqrt(sum(x * x for x in a) / D + epsilon)
            formula = [x / root * g for x, g in zip(a, ours.weight.tolist(), strict=True)]
            assert output[row, place].tolist() == pytest.approx(formula, rel=1e-12, abs=1e-14)
    weight = torch.randn_like(output)
    gradients = torch.autograd.grad((output * weight).sum(), [hidden, ours.weight])
    others = torch.autograd.grad((expected * weight).sum(), [hidden, theirs.weight])
    for gradient, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-10, atol=1e-12)


def test_rms_normalization_in_half_precision_keeps_the_format_and_squares_in_float32() -> None:
    ours, hidden = RMSNormalization(D).bfloat16(), 1e-4 * draw(torch.bfloat16)
    output = ours(hidden)
    assert output.dtype == torch.bfloat16
    assert torch.equal(output, RMSNormalization(D)(hidden.float()).bfloat16())
    large = (1e3 * draw(torch.float32)).half()
    assert RMSNormalization(D).half()(large).isfinite().all()


@pytest.mark.parametrize(
    ("kind", "made"), [("layer", LayerNormalization), ("rms", RMSNormalization), ("batch", BatchNormalization)]
)
def test_what_is_made_has_the_epsilon_that_was_asked_for(kind: str, made: type[nn.Module]) -> None:
    """Of a vector that is nearly zero, epsilon decides what remains."""
    hidden = torch.tensor([[[3.0, -3.0]]], dtype=torch.float64)
    norm = make_normalization(kind, 2, epsilon=7.0).double()
    norm.eval()
    assert isinstance(norm, made)
    variance = 1 if kind == "batch" else 9
    torch.testing.assert_close(norm(hidden), hidden / math.sqrt(variance + 7))


def test_no_normalization_is_none() -> None:
    hidden = draw()
    assert NoNormalization()(hidden, REAL) is hidden
    assert isinstance(make_normalization("batch", D), BatchNormalization)

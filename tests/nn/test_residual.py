import math

import pytest
import torch
from torch import Tensor, nn

from attento.nn.dropout import Dropout
from attento.nn.normalization import BatchNormalization
from attento.nn.residual import LeftOut, Residual

B, L, D = 2, 3, 7


def layer_norm_by_loops(hidden: Tensor, norm: nn.LayerNorm) -> Tensor:
    """(x - mean) / sqrt(variance + 1e-5) * gain + bias, over the last axis, one row at a time."""
    gain, bias = norm.weight.tolist(), norm.bias.tolist()
    rows = []
    for row in hidden.flatten(0, -2).tolist():
        mean = sum(row) / len(row)
        variance = sum((x - mean) ** 2 for x in row) / len(row)
        rows.append([(x - mean) / math.sqrt(variance + 1e-5) * g + b for x, g, b in zip(row, gain, bias, strict=True)])
    return torch.tensor(rows, dtype=hidden.dtype).view(hidden.shape)


def make(order: str, dropout: float) -> tuple[Residual, nn.Linear, Tensor]:
    residual, sublayer = Residual(D, dropout, order).double(), nn.Linear(D, D).double()
    nn.init.normal_(residual.norm.weight)
    nn.init.normal_(residual.norm.bias)
    return residual, sublayer, torch.randn(B, L, D, dtype=torch.float64)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_post_normalizes_the_sum(dropout: float) -> None:
    residual, sublayer, hidden = make("post", dropout)
    torch.manual_seed(7)
    output = residual(hidden, sublayer)
    torch.manual_seed(7)
    mask = Dropout(dropout)(torch.ones_like(hidden))
    torch.testing.assert_close(output, layer_norm_by_loops(hidden + mask * sublayer(hidden), residual.norm))


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_pre_normalizes_what_the_sublayer_sees_and_leaves_the_rest_alone(dropout: float) -> None:
    residual, sublayer, hidden = make("pre", dropout)
    torch.manual_seed(7)
    output = residual(hidden, sublayer)
    torch.manual_seed(7)
    mask = Dropout(dropout)(torch.ones_like(hidden))
    torch.testing.assert_close(output, hidden + mask * sublayer(layer_norm_by_loops(hidden, residual.norm)))


@pytest.mark.parametrize("order", ["post", "pre"])
def test_has_the_gradient_of_its_values(order: str) -> None:
    residual, sublayer, hidden = make(order, 0.0)
    assert torch.autograd.gradcheck(lambda x: residual(x, sublayer), (hidden.requires_grad_(),))


@pytest.mark.parametrize("order", ["post", "pre"])
def test_without_the_connection_only_what_the_sublayer_makes_goes_on(order: str) -> None:
    _, sublayer, hidden = make(order, 0.0)
    residual = Residual(D, 0.0, order, connected=False).double()
    normalized = layer_norm_by_loops(sublayer(hidden) if order == "post" else hidden, residual.norm)
    expected = normalized if order == "post" else sublayer(normalized)
    torch.testing.assert_close(residual(hidden, sublayer), expected)


@pytest.mark.parametrize("order", ["post", "pre"])
def test_a_batchs_statistics_are_of_the_real_places(order: str) -> None:
    _, sublayer, hidden = make(order, 0.0)
    real = torch.tensor([[True, True, False], [True, False, False]])
    residual, norm = Residual(D, 0.0, order, "batch").double(), BatchNormalization(D).double()
    assert isinstance(residual.norm, BatchNormalization)
    expected = norm(hidden + sublayer(hidden), real) if order == "post" else hidden + sublayer(norm(hidden, real))
    assert torch.equal(residual(hidden, sublayer, real), expected)


def test_a_sublayer_that_is_left_out_is_not_asked() -> None:
    _, _, hidden = make("post", 0.0)

    def fail(_: Tensor) -> Tensor:
        raise AssertionError

    assert LeftOut()(hidden, fail) is hidden

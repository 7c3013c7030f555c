"""The feed-forward networks against their formulas, one number at a time."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from attento.nn.feed_forward import FeedForward, GatedFeedForward

B, L, D, F = 2, 3, 5, 7


def gelu_tanh(x: float) -> float:
    """Hendrycks & Gimpel 2016, section 2: 0.5 x (1 + tanh[sqrt(2 / pi) (x + 0.044715 x^3)])."""
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu(x: float) -> float:
    """Hendrycks & Gimpel 2016, section 2: x times the share of the normal distribution below x."""
    return x * (1 + math.erf(x / math.sqrt(2))) / 2


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


FORMULAS: dict[str, Callable[[float], float]] = {
    "relu": lambda x: max(0.0, x),
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "silu": lambda x: x * sigmoid(x),
    "glu": sigmoid,
    "reglu": lambda x: max(0.0, x),
    "geglu": gelu,
    "geglu_tanh": gelu_tanh,
    "swiglu": lambda x: x * sigmoid(x),
    "bilinear": lambda x: x,
}
PLAIN, GATED = ["relu", "gelu", "gelu_tanh", "silu"], ["glu", "reglu", "geglu", "geglu_tanh", "swiglu", "bilinear"]

every_kind = pytest.mark.parametrize("kind", PLAIN + GATED)
with_and_without_bias = pytest.mark.parametrize("bias", [True, False], ids=["bias", "bare"])


def make(kind: str, bias: bool = True) -> tuple[FeedForward | GatedFeedForward, Tensor]:
    network = (FeedForward if kind in PLAIN else GatedFeedForward)(D, F, kind, bias).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    return network, torch.randn(B, L, D, dtype=torch.float64, requires_grad=True)


def apply(linear: nn.Linear, vector: list[float]) -> list[float]:
    weight = linear.weight.tolist()
    bias = [0.0] * len(weight) if linear.bias is None else linear.bias.tolist()
    return [sum(w * x for w, x in zip(row, vector, strict=True)) + b for row, b in zip(weight, bias, strict=True)]


@with_and_without_bias
@pytest.mark.parametrize("kind", PLAIN)
def test_a_plain_network_is_equation_2_with_its_activation(kind: str, bias: bool) -> None:
    network, hidden = make(kind, bias)
    output = network(hidden)
    for b in range(B):
        for position in range(L):
            inner = [FORMULAS[kind](x) for x in apply(network.inner, hidden[b, position].tolist())]
            expected = torch.tensor(apply(network.outer, inner), dtype=torch.float64)
            torch.testing.assert_close(output[b, position], expected, rtol=1e-12, atol=1e-14)


@with_and_without_bias
@pytest.mark.parametrize("kind", GATED)
def test_a_gated_network_is_equations_5_and_6(kind: str, bias: bool) -> None:
    """Shazeer 2020: (f(x W) * x V) W2."""
    network, hidden = make(kind, bias)
    output = network(hidden)
    for b in range(B):
        for position in range(L):
            x = hidden[b, position].tolist()
            gates = [FORMULAS[kind](gate) for gate in apply(network.gate, x)]
            inner = [gate * passed for gate, passed in zip(gates, apply(network.inner, x), strict=True)]
            expected = torch.tensor(apply(network.outer, inner), dtype=torch.float64)
            torch.testing.assert_close(output[b, position], expected, rtol=1e-12, atol=1e-14)


def test_a_network_is_plain_with_relu_unless_told_otherwise() -> None:
    network, hidden = make("relu")
    twin = FeedForward(D, F).double()
    twin.load_state_dict(network.state_dict())
    assert torch.equal(twin(hidden), network(hidden))


@every_kind
def test_without_bias_there_are_matrices_alone(kind: str) -> None:
    matrices = {"inner.weight", "outer.weight"} | ({"gate.weight"} if kind in GATED else set())
    assert set(make(kind, bias=False)[0].state_dict()) == matrices
    assert sum(p.numel() for p in make(kind, bias=False)[0].parameters()) == len(matrices) * D * F


@every_kind
def test_has_the_gradient_of_its_values(kind: str) -> None:
    network, hidden = make(kind)
    assert torch.autograd.gradcheck(network, (hidden,))


@every_kind
def test_each_position_is_transformed_by_itself(kind: str) -> None:
    network, hidden = make(kind)
    network(hidden)[1, 2].sum().backward()
    touched = hidden.grad.abs().sum(-1) > 0
    assert touched.tolist() == [[False, False, False], [False, False, True]]
